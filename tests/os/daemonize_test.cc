// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/daemonize.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <functional>

#include "support.h"

namespace corn::os {
namespace {

struct Outcome {
  int exit_status = -1;
  std::string standard_error;
};

// Runs daemonize() as a shell would see it: the first process is the one waited for. `daemon` runs
// in the daemon, which ends after it.
Outcome outcome_of(const std::function<void(DaemonStart&)>& daemon) {
  test::Pipe errors = test::make_pipe();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(errors.writer.get(), STDERR_FILENO);
    errors.writer.reset();
    base::Result<DaemonStart> start = DaemonStart::daemonize();
    if (!start) ::_exit(99);
    daemon(*start);
    ::_exit(0);
  }
  errors.writer.reset();
  Outcome outcome;
  outcome.standard_error = test::read_all(errors.reader.get());
  outcome.exit_status = test::wait_for_exit(pid);
  return outcome;
}

TEST(Daemonize, FirstProcessEndsWithZeroWhenTheStartWorked) {
  const Outcome outcome = outcome_of([](DaemonStart& start) { start.started(); });
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.standard_error, "");
}

TEST(Daemonize, FailureIsRelayedWithItsStatusAndWholeMessage) {
  const std::string traceback(100'000, 'x');
  const Outcome outcome =
      outcome_of([&](DaemonStart& start) { start.failed(4, "cannot load\n" + traceback); });
  EXPECT_EQ(outcome.exit_status, 4);
  EXPECT_EQ(outcome.standard_error, "cannot load\n" + traceback + "\n");
}

TEST(Daemonize, DeathBeforeTheStartIsAFailure) {
  const Outcome outcome = outcome_of([](DaemonStart&) { ::raise(SIGKILL); });
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.standard_error, testing::HasSubstr("the daemon died before it had started"));
}

TEST(Daemonize, FirstProcessWaitsForTheStartAndTheDaemonOutlivesIt) {
  test::Pipe go = test::make_pipe();
  test::Pipe done = test::make_pipe();
  const pid_t pid = ::fork();
  if (pid == 0) {
    go.writer.reset();
    done.reader.reset();
    base::Result<DaemonStart> start = DaemonStart::daemonize();
    if (!start) ::_exit(99);
    char byte = 0;
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(98);
    start->started();
    const std::string after = test::read_all(go.reader.get());
    const ssize_t size = ::write(done.writer.get(), "outlived", 8);
    ::_exit(size == 8 && after.empty() ? 0 : 97);
  }
  go.reader.reset();
  done.writer.reset();
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), 0) << "nothing has started yet";
  ASSERT_EQ(::write(go.writer.get(), "g", 1), 1);
  EXPECT_EQ(test::wait_for_exit(pid), 0);
  go.writer.reset();
  EXPECT_EQ(test::read_all(done.reader.get()), "outlived");
}

TEST(Daemonize, DaemonHasLeftTerminalSessionAndStandardStreams) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "report";
  const pid_t test_session = ::getsid(0);
  const std::string here = std::filesystem::current_path();
  const Outcome outcome = outcome_of([&](DaemonStart& start) {
    std::string report;
    if (::getsid(0) == test_session) report += "same session ";
    if (::getsid(0) == ::getpid()) report += "leads its session ";
    for (const char* fd : {"0", "1", "2"}) {
      report += std::filesystem::read_symlink(std::string("/proc/self/fd/") + fd).string() + " ";
    }
    const mode_t umask = ::umask(0);
    report += umask == 022 ? "umask 022 " : "another umask ";
    report += std::filesystem::current_path() == here ? "same directory" : "moved";
    test::write_file(path, report);
    start.started();
  });
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(test::read_file(path), "/dev/null /dev/null /dev/null umask 022 same directory");
}

TEST(Daemonize, SecondReportIsIgnored) {
  const Outcome outcome = outcome_of([](DaemonStart& start) {
    start.started();
    start.started();
    start.failed(3, "too late");
  });
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_EQ(outcome.standard_error, "");
}

}  // namespace
}  // namespace corn::os
