// SPDX-License-Identifier: Apache-2.0
// What the tests of the OS layer share: a directory of one's own, pipes, forked test bodies.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "arbiterd/os/process_launcher.h"
#include "base/unique_fd.h"

namespace corn::os::test {

// A directory that is removed, with all in it, at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/corn-os-test-XXXXXX";
};

struct Pipe {
  base::UniqueFd reader;
  base::UniqueFd writer;
};

inline Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

// Everything up to the end of the stream.
inline std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

inline std::vector<int> open_descriptors() {
  std::vector<int> descriptors;
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) throw std::runtime_error("opendir");
  while (const dirent* const entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    const int fd = std::atoi(entry->d_name);
    if (fd != ::dirfd(directory)) descriptors.push_back(fd);
  }
  ::closedir(directory);
  return descriptors;
}

// Waits for a child made by fork(); its exit status, or 128 and the signal.
inline int wait_for_exit(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Runs `body` in a process of its own and returns the text that it returned: for what changes a
// process for good (ids, limits, its title).
inline std::string in_child(const std::function<std::string()>& body) {
  Pipe pipe = make_pipe();
  const int writer = pipe.writer.get();
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::string text;
    try {
      text = body();
    } catch (const std::exception& error) {
      text = std::string("exception: ") + error.what();
    }
    const char* data = text.data();
    std::size_t left = text.size();
    while (left > 0) {
      const ssize_t size = ::write(writer, data, left);
      if (size <= 0) break;
      data += size;
      left -= static_cast<std::size_t>(size);
    }
    ::_exit(0);
  }
  pipe.writer.reset();
  std::string text = read_all(pipe.reader.get());
  const int status = wait_for_exit(pid);
  if (status != 0) text += "(child ended with " + std::to_string(status) + ")";
  return text;
}

inline bool is_root() { return ::geteuid() == 0; }

// The probe, to be started with `arguments`.
inline LaunchSpec probe(std::vector<std::string> arguments) {
  LaunchSpec spec;
  spec.program = CORN_CHILD_PROBE;
  spec.argv = {"child_probe"};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  return spec;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The values of the lines "name value" in a probe's report.
inline std::vector<std::string> values_of(const std::string& report, const std::string& name) {
  std::vector<std::string> values;
  for (const std::string& line : lines_of(report)) {
    if (line.starts_with(name + " ")) values.push_back(line.substr(name.size() + 1));
  }
  return values;
}

}  // namespace corn::os::test
