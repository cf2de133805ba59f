// SPDX-License-Identifier: Apache-2.0
// Runs cornctl, the program, against a control server of this process in front of a fake door.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arbiterd/control/control_server.h"
#include "base/unique_fd.h"
#include "fake_door.h"

namespace corn::ctl {

struct Ended {
  int status = -1;  // exit status; -1: ended by a signal
  std::string out;
  std::string err;
};

class CornctlTest : public ::testing::Test {
 protected:
  CornctlTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cornctl-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(runtime());
    environment_ = {{"XDG_RUNTIME_DIR", directory_}, {"TZ", "UTC"}, {"TERM", "xterm"}};
    for (const char* name : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
      if (const char* value = std::getenv(name)) environment_[name] = value;
    }
  }
  ~CornctlTest() override {
    servers_.clear();
    std::filesystem::remove_all(directory_);
  }

  [[nodiscard]] std::string runtime() const { return directory_ + "/corn"; }
  [[nodiscard]] std::string address(const std::string& instance = "hello") const {
    return "unix:" + runtime() + "/" + instance + ".sock";
  }

  void start(const std::string& instance = "hello", uid_t allowed_uid = ::getuid()) {
    auto server = control::ControlServer::start(
        {runtime() + "/" + instance + ".sock", instance, allowed_uid}, door_);
    ASSERT_TRUE(server) << server.error().message;
    servers_[instance] = std::move(*server);
  }

  // The program's own runtime directory is the test's alone only if it is named: /run/corn may hold
  // instances of this machine. So tests that name no address say so.
  [[nodiscard]] Ended cornctl(std::vector<std::string> arguments) {
    door_.run([] {});  // the loop thread may write again what the test has read
    std::array<base::UniqueFd, 4> ends;
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(err.data(), O_CLOEXEC), 0);
    for (std::size_t i = 0; i < 2; ++i) {
      ends[i].reset(out[i]);
      ends[i + 2].reset(err[i]);
    }
    arguments.insert(arguments.begin(), CORN_BINARY_DIR "/bin/cornctl");
    std::vector<std::string> variables;
    for (const auto& [name, value] : environment_) variables.push_back(name + "=" + value);
    std::vector<char*> argv = pointers(arguments);
    std::vector<char*> envp = pointers(variables);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1].get(), STDOUT_FILENO);
      ::dup2(ends[3].get(), STDERR_FILENO);
      ::execve(argv[0], argv.data(), envp.data());
      ::_exit(127);
    }
    ends[1].reset();
    ends[3].reset();
    Ended run;
    read_both(ends[0], ends[2], run);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) run.status = WEXITSTATUS(status);
    door_.run([] {});  // what the loop thread has noted may be read now
    return run;
  }

  std::string directory_;
  std::map<std::string, std::string> environment_;
  control::FakeDoor door_;
  std::map<std::string, std::unique_ptr<control::ControlServer>> servers_;

 private:
  static std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& string : strings) result.push_back(string.data());
    result.push_back(nullptr);
    return result;
  }

  static void read_both(const base::UniqueFd& out, const base::UniqueFd& err, Ended& run) {
    std::array<pollfd, 2> watched{{{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}}};
    std::array<std::string*, 2> texts{&run.out, &run.err};
    for (int open = 2; open > 0;) {
      ::poll(watched.data(), watched.size(), -1);
      for (std::size_t i = 0; i < watched.size(); ++i) {
        if (watched[i].revents == 0) continue;
        std::array<char, 4096> buffer{};
        const ssize_t size = ::read(watched[i].fd, buffer.data(), buffer.size());
        if (size > 0) {
          texts[i]->append(buffer.data(), static_cast<std::size_t>(size));
        } else {
          watched[i].fd = -1;
          --open;
        }
      }
    }
  }
};

}  // namespace corn::ctl
