// SPDX-License-Identifier: Apache-2.0
// corn-stacks: prints the native stacks of every thread of a process, which goes on running. A
// program of its own because a tracer must be a process that can be waited for, may be killed if
// the kernel keeps it waiting, and reads files that nobody checked.
#include <dirent.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "stacks/process_image.h"
#include "stacks/stopped_thread.h"

namespace corn::stacks {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// For one thread to stand still; what doesn't within that sleeps in the kernel.
constexpr base::Duration kStopLimit = std::chrono::milliseconds(100);
// For all of them. Below kNativeLimit of arbiterd/driver/native_stacks.h.
constexpr base::Duration kTotalLimit = std::chrono::milliseconds(1500);
// The end, come what may: whoever has asked may be gone.
constexpr unsigned kLifeSeconds = 10;
constexpr std::size_t kMostFrames = 200;
constexpr std::size_t kMostThreads = 1100;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

base::Result<std::vector<pid_t>> threads_of(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/task";
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) return base::fail_errno("cannot list " + path, errno);
  std::vector<pid_t> threads;
  while (const dirent* entry = ::readdir(directory.get())) {
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    pid_t thread = 0;
    const auto [stopped, error] = std::from_chars(entry->d_name, end, thread);
    if (error == std::errc() && stopped == end) threads.push_back(thread);
  }
  std::ranges::sort(threads);
  return threads;
}

// What stands in a line of a file in /proc after `name`; empty: nothing.
std::string field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const std::size_t start = line.find_first_not_of(" \t", name.size());
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

// Why a process may not be traced, as far as that can be found out.
std::string why_forbidden(pid_t process) {
  const std::string tracer = field_of("/proc/" + std::to_string(process) + "/status", "TracerPid:");
  if (!tracer.empty() && tracer != "0") return "process " + tracer + " traces it already";
  const std::string scope = field_of("/proc/sys/kernel/yama/ptrace_scope", "");
  if (scope == "2" || scope == "3") return "kernel.yama.ptrace_scope is " + scope;
  return "the user that arbiterd runs as may not trace it (ptrace(2); in a container, see its "
         "seccomp profile)";
}

struct ThreadFrames {
  pid_t thread = 0;
  ProcessImage::Stack stack;
};

int print_stacks(pid_t process) {
  const base::MonotonicClock clock;
  const base::TimePoint deadline = clock.now() + kTotalLimit;
  const auto fail = [](const std::string& why) {
    std::printf("%s\n", why.c_str());
    return kExitFailed;
  };
  auto threads = threads_of(process);
  if (!threads) return fail(threads.error().message);
  auto image = ProcessImage::open(process);
  if (!image) {
    const int error = image.error().os_errno;
    return fail(error == EACCES || error == EPERM ? why_forbidden(process) : image.error().message);
  }
  image->prepare();

  // Names are looked up when no thread stands still any more.
  std::vector<ThreadFrames> found;
  std::size_t left_out = 0;
  for (const pid_t thread : *threads) {
    if (found.size() >= kMostThreads || clock.now() >= deadline) {
      ++left_out;
      continue;
    }
    const auto stopped = StoppedThread::stop(thread, kStopLimit);
    if (stopped) {
      found.push_back({thread, image->unwind(thread, kMostFrames)});
    } else if (stopped.error().os_errno == EPERM) {
      return fail(why_forbidden(process));
    } else if (stopped.error().os_errno != ESRCH) {
      found.push_back({thread, {{}, stopped.error().message}});
    }
  }
  for (const ThreadFrames& one : found) {
    std::printf("thread %d\n", one.thread);
    for (const std::uint64_t address : one.stack.addresses) {
      std::printf("  %s\n", image->name(address).c_str());
    }
    if (!one.stack.end.empty()) std::printf("  (%s)\n", one.stack.end.c_str());
  }
  if (left_out > 0) std::printf("%zu more threads were not looked at: no time left\n", left_out);
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("corn-stacks " CORN_VERSION);
    return 0;
  }
  pid_t process = 0;
  if (argc == 2) {
    const char* const end = argv[1] + std::strlen(argv[1]);
    const auto [stopped, error] = std::from_chars(argv[1], end, process);
    if (error != std::errc() || stopped != end) process = 0;
  }
  if (process <= 0) {
    std::fputs("usage: corn-stacks PID\nPrints the native stack of every thread of a process.\n",
               stderr);
    return kExitUsage;
  }
  ::alarm(kLifeSeconds);
  return print_stacks(process);
}

}  // namespace
}  // namespace corn::stacks

int main(int argc, char** argv) { return corn::stacks::main(argc, argv); }
