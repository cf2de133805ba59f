// SPDX-License-Identifier: Apache-2.0
// A child for the tests of the OS layer. `report` prints what the process was started with, one
// "name value" a line; `exit N`, `kill N` end it; `wait` stays until standard input ends.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

namespace {

void report_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) std::abort();
  while (const dirent* const entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name[0] == '.' || std::stoi(name) == ::dirfd(directory)) continue;
    std::printf("fd %s\n", name.c_str());
  }
  ::closedir(directory);
}

// The masks SigBlk, SigIgn and SigCgt, as proc(5) prints them. SigCgt isn't empty under a
// sanitizer.
void report_signals() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("SigBlk:") || line.starts_with("SigIgn:") || line.starts_with("SigCgt:")) {
      std::printf("%s %s\n", line.substr(0, 6).c_str(), line.substr(8).c_str());
    }
  }
}

void report_identity() {
  std::printf("uid %u %u\n", ::getuid(), ::geteuid());
  std::printf("gid %u %u\n", ::getgid(), ::getegid());
  std::vector<gid_t> groups(NGROUPS_MAX);
  groups.resize(static_cast<std::size_t>(::getgroups(NGROUPS_MAX, groups.data())));
  for (const gid_t group : groups) std::printf("group %u\n", group);
}

void report(char** environment) {
  report_descriptors();
  report_signals();
  report_identity();
  std::printf("pid %d\n", ::getpid());
  std::printf("process-group %d\n", ::getpgid(0));
  std::printf("session %d\n", ::getsid(0));
  std::array<char, PATH_MAX> directory{};
  if (::getcwd(directory.data(), directory.size()) != nullptr) {
    std::printf("directory %s\n", directory.data());
  }
  const mode_t umask = ::umask(0);
  std::printf("umask %03o\n", umask);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  std::printf("descriptor-limit %lu %lu\n", limit.rlim_cur, limit.rlim_max);
  int death_signal = -1;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  std::printf("death-signal %d\n", death_signal);
  std::ifstream oom("/proc/self/oom_score_adj");
  std::string score;
  oom >> score;
  std::printf("oom-score %s\n", score.c_str());
  for (char** variable = environment; *variable != nullptr; ++variable) {
    std::printf("environment %s\n", *variable);
  }
}

// Reads everything from each descriptor named and prints it.
void read_descriptors(int count, char** numbers) {
  for (int i = 0; i < count; ++i) {
    const int fd = std::atoi(numbers[i]);
    std::array<char, 64> text{};
    const ssize_t size = ::read(fd, text.data(), text.size() - 1);
    std::printf("read %d %s\n", fd, size > 0 ? text.data() : "(nothing)");
  }
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "report") {
    for (int i = 0; i < argc; ++i) std::printf("argument %s\n", argv[i]);
    report(environment);
    return 0;
  }
  if (command == "read") {
    read_descriptors(argc - 2, argv + 2);
    return 0;
  }
  if (command == "exit" && argc > 2) return std::atoi(argv[2]);
  if (command == "kill" && argc > 2) {
    ::raise(std::atoi(argv[2]));
    return 99;
  }
  if (command == "spin") {
    // Uses a measurable amount of CPU time.
    while (std::clock() < CLOCKS_PER_SEC / 20) {
    }
    return 0;
  }
  if (command == "wait") {
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
  }
  std::fprintf(stderr, "usage: child_probe report | read FD... | exit N | kill N | spin | wait\n");
  return 98;
}
