// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/native_stacks.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>
#include <utility>

#include "arbiterd/driver/convert.h"

namespace corn::driver {
namespace {

// Of what is read; a thousand threads with deep stacks come to less.
constexpr std::size_t kMostOutput = 4U << 20U;

struct Reading {
  base::UniqueFd output;
  Timers::Id timer{};
  bool overdue = false;
  std::function<void(NativeStacks)> done;
};

// The last candidate if there is none, for the error message of its start.
std::string find_corn_stacks(const std::string& workerd) {
  const std::string candidates[] = {workerd.substr(0, workerd.rfind('/') + 1) + "corn-stacks",
                                    "/usr/local/libexec/corn/corn-stacks",
                                    "/usr/libexec/corn/corn-stacks"};
  for (const std::string& candidate : candidates) {
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return candidates[2];
}

NativeStacks without(const std::string& why) { return {{}, "no native stacks: " + why}; }

std::string read_output(int descriptor) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  std::string text(std::min(kMostOutput, static_cast<std::size_t>(std::max<off_t>(size, 0))), '\0');
  const ssize_t n = ::pread(descriptor, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

NativeStacks result_of(const Reading& reading, const os::ExitStatus& status) {
  if (reading.overdue) {
    return without(fmt::format("corn-stacks took more than {} ms", kNativeLimit.count()));
  }
  const std::string output = read_output(reading.output.get());
  if (status.kind == os::ExitStatus::Kind::kExited && status.code == 0) {
    return parse_native_stacks(output);
  }
  std::string why = output.substr(0, output.find('\n'));
  if (why.empty() || status.kind != os::ExitStatus::Kind::kExited) {
    why = fmt::format("corn-stacks ended with {}", core::to_string(to_core(status)));
  }
  return without(why);
}

// A line of its own and what of it is a thread's id: "thread 4711".
bool read_heading(std::string_view line, std::uint32_t& thread) {
  constexpr std::string_view kHeading = "thread ";
  if (!line.starts_with(kHeading)) return false;
  line.remove_prefix(kHeading.size());
  const char* const end = line.data() + line.size();
  const auto [stopped, error] = std::from_chars(line.data(), end, thread);
  return error == std::errc() && stopped == end;
}

void append_line(std::string& text, std::string_view line) {
  if (!text.empty()) text += '\n';
  text += line;
}

}  // namespace

NativeStacks parse_native_stacks(std::string_view output) {
  NativeStacks result;
  std::string* stack = nullptr;
  while (!output.empty()) {
    const std::string_view line = output.substr(0, output.find('\n'));
    output.remove_prefix(std::min(output.size(), line.size() + 1));
    std::uint32_t thread = 0;
    if (read_heading(line, thread)) {
      stack = &result.threads[thread];
    } else if (stack != nullptr && line.starts_with("  ")) {
      append_line(*stack, line);
    } else if (!line.empty()) {
      append_line(result.text, line);
    }
  }
  return result;
}

void read_native_stacks(const ErrandContext& context, const LaunchContext& launch, pid_t pid,
                        std::function<void(NativeStacks)> done) {
  const auto reading = std::make_shared<Reading>();
  reading->done = std::move(done);
  const auto fail_later = [&](const std::string& why) {
    context.timers.at(context.loop.now(), [reading, why] { reading->done(without(why)); });
  };
  reading->output.reset(::memfd_create("native-stacks", MFD_CLOEXEC));
  const base::UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!reading->output || !nothing) return fail_later(std::strerror(errno));
  os::LaunchSpec spec;
  spec.program = find_corn_stacks(launch.program);
  spec.argv = {"corn-stacks", std::to_string(pid)};
  spec.environment = launch.environment;
  spec.descriptors = {{nothing.get(), STDIN_FILENO},
                      {reading->output.get(), STDOUT_FILENO},
                      {reading->output.get(), STDERR_FILENO}};
  auto child = context.launcher.launch(spec);
  if (!child) return fail_later(child.error().message);
  const pid_t reader = child->pid;
  // The callback holds what is being read until the process has ended.
  if (auto watched = context.children.watch(
          reader, std::move(child->pidfd),
          [reading, timers = &context.timers](pid_t, const os::ExitStatus& status) {
            timers->cancel(reading->timer);
            reading->done(result_of(*reading, status));
          });
      !watched) {
    return fail_later(watched.error().message);
  }
  reading->timer = context.timers.at(context.loop.now() + kNativeLimit,
                                     [reading, children = &context.children, reader] {
                                       reading->overdue = true;
                                       std::ignore = children->send_signal(reader, SIGKILL);
                                     });
}

}  // namespace corn::driver
