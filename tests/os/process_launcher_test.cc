// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/process_launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "support.h"

namespace corn::os {
namespace {

using test::make_pipe;
using test::Pipe;
using test::probe;
using test::read_all;
using test::values_of;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::UnorderedElementsAre;

// Launches, reads standard output to its end and waits.
std::string output_of(LaunchSpec spec) {
  CloneLauncher launcher;
  Pipe pipe = make_pipe();
  spec.descriptors.push_back({pipe.writer.get(), STDOUT_FILENO});
  const base::Result<Child> child = launcher.launch(spec);
  if (!child) return "launch failed: " + child.error().message;
  pipe.writer.reset();
  std::string output = read_all(pipe.reader.get());
  EXPECT_EQ(test::wait_for_exit(child->pid), 0);
  return output;
}

TEST(ProcessLauncher, ChildGetsExactlyItsArgumentsAndEnvironment) {
  LaunchSpec spec = probe({"report", "two words", ""});
  spec.environment = {"COLOUR=green"};
  const std::string report = output_of(spec);
  EXPECT_THAT(values_of(report, "argument"), ElementsAre("child_probe", "report", "two words", ""));
  EXPECT_THAT(values_of(report, "environment"), ElementsAre("COLOUR=green"));
}

TEST(ProcessLauncher, PidfdRefersToTheChild) {
  CloneLauncher launcher;
  const base::Result<Child> child = launcher.launch(probe({"exit", "7"}));
  ASSERT_TRUE(child) << child.error().message;
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(child->pidfd.get()), &info, WEXITED), 0);
  EXPECT_EQ(info.si_pid, child->pid);
  EXPECT_EQ(info.si_status, 7);
  EXPECT_TRUE(::fcntl(child->pidfd.get(), F_GETFD) & FD_CLOEXEC);
}

TEST(ProcessLauncher, NoDescriptorLeaksIntoTheChild) {
  const base::UniqueFd low(::open("/dev/null", O_RDONLY));        // not CLOEXEC
  const base::UniqueFd high(::fcntl(low.get(), F_DUPFD, 900));    // not CLOEXEC
  const base::UniqueFd between(::fcntl(low.get(), F_DUPFD, 40));  // not CLOEXEC
  ASSERT_TRUE(low && high && between);
  LaunchSpec spec = probe({"report"});
  spec.descriptors = {{low.get(), 30}, {low.get(), 50}};
  EXPECT_THAT(values_of(output_of(spec), "fd"), UnorderedElementsAre("0", "1", "2", "30", "50"));
}

TEST(ProcessLauncher, DescriptorsMayChangePlacesWithEachOther) {
  std::vector<Pipe> pipes;
  std::vector<base::UniqueFd> readers;
  for (int i = 0; i < 3; ++i) {
    pipes.push_back(make_pipe());
    const std::string text = "pipe" + std::to_string(i);
    ASSERT_EQ(::write(pipes.back().writer.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  const int a = pipes[0].reader.get();
  const int b = pipes[1].reader.get();
  const int c = pipes[2].reader.get();
  const std::string name_a = std::to_string(a);
  const std::string name_b = std::to_string(b);
  const std::string name_c = std::to_string(c);
  LaunchSpec spec = probe({"read", name_a, name_b, name_c});
  spec.descriptors = {{a, b}, {b, c}, {c, a}};
  EXPECT_THAT(values_of(output_of(spec), "read"),
              ElementsAre(name_a + " pipe2", name_b + " pipe0", name_c + " pipe1"));
}

TEST(ProcessLauncher, DescriptorInItsPlaceLosesCloseOnExecInTheChildOnly) {
  Pipe pipe = make_pipe();
  const int fd = pipe.reader.get();
  ASSERT_EQ(::write(pipe.writer.get(), "here", 4), 4);
  LaunchSpec spec = probe({"read", std::to_string(fd)});
  spec.descriptors = {{fd, fd}};
  EXPECT_THAT(values_of(output_of(spec), "read"), ElementsAre(std::to_string(fd) + " here"));
  EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(ProcessLauncher, OneDescriptorMayBePassedTwice) {
  Pipe pipe = make_pipe();
  ASSERT_EQ(::write(pipe.writer.get(), "once", 4), 4);
  pipe.writer.reset();
  LaunchSpec spec = probe({"read", "10", "11"});
  spec.descriptors = {{pipe.reader.get(), 10}, {pipe.reader.get(), 11}};
  EXPECT_THAT(values_of(output_of(spec), "read"), ElementsAre("10 once", "11 (nothing)"));
}

TEST(ProcessLauncher, AnOpenProgramIsExecutedWhateverIsUnderItsName) {
  LaunchSpec spec = probe({"report"});
  const base::UniqueFd program(::open(spec.program.c_str(), O_PATH | O_CLOEXEC));
  const base::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  spec.program = "/nonexistent/child_probe";
  spec.program_file = program.get();
  const int in_the_way = program.get();
  spec.descriptors = {{null.get(), in_the_way}};
  EXPECT_THAT(values_of(output_of(spec), "fd"),
              UnorderedElementsAre("0", "1", "2", std::to_string(in_the_way)));
}

TEST(ProcessLauncher, ChildStartsWithNoSignalBlockedOrIgnored) {
  sigset_t all;
  sigset_t before;
  sigset_t after;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  struct sigaction ignored {};
  struct sigaction was {};
  ignored.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignored, &was);
  const std::string report = output_of(probe({"report"}));
  ::sigaction(SIGPIPE, &was, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, &after);

  EXPECT_THAT(values_of(report, "SigBlk"), ElementsAre("0000000000000000"));
  EXPECT_THAT(values_of(report, "SigIgn"), ElementsAre("0000000000000000"));
  // The parent's mask is what it was.
  for (const int signal : {SIGTERM, SIGUSR1, SIGRTMAX}) EXPECT_EQ(::sigismember(&after, signal), 1);
}

TEST(ProcessLauncher, ChildLeadsAProcessGroupInTheSameSession) {
  const std::string report = output_of(probe({"report"}));
  EXPECT_EQ(values_of(report, "process-group"), values_of(report, "pid"));
  EXPECT_THAT(values_of(report, "session"), ElementsAre(std::to_string(::getsid(0))));
}

TEST(ProcessLauncher, ChildStaysInTheParentsGroupIfAskedTo) {
  LaunchSpec spec = probe({"report"});
  spec.own_process_group = false;
  EXPECT_THAT(values_of(output_of(spec), "process-group"),
              ElementsAre(std::to_string(::getpgid(0))));
}

TEST(ProcessLauncher, ChildIsNotTiedToTheParentsLife) {
  EXPECT_THAT(values_of(output_of(probe({"report"})), "death-signal"), ElementsAre("0"));
}

TEST(ProcessLauncher, UmaskDirectoryAndLimitsAreTheChildsAlone) {
  const test::TemporaryDirectory directory;
  const mode_t own_umask = ::umask(0);
  ::umask(own_umask);
  rlimit own_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own_limit), 0);
  const std::string own_directory = std::filesystem::current_path();

  LaunchSpec spec = probe({"report"});
  spec.umask = 0137;
  spec.working_directory = directory.path();
  spec.limits = {{RLIMIT_NOFILE, rlimit{100, own_limit.rlim_max}}};
  const std::string report = output_of(spec);
  EXPECT_THAT(values_of(report, "umask"), ElementsAre("137"));
  EXPECT_THAT(values_of(report, "directory"), ElementsAre(directory.path()));
  EXPECT_THAT(values_of(report, "descriptor-limit"),
              ElementsAre("100 " + std::to_string(own_limit.rlim_max)));

  EXPECT_EQ(::umask(own_umask), own_umask);
  EXPECT_EQ(std::filesystem::current_path(), own_directory);
  rlimit limit_now{};
  ::getrlimit(RLIMIT_NOFILE, &limit_now);
  EXPECT_EQ(limit_now.rlim_cur, own_limit.rlim_cur);
}

TEST(ProcessLauncher, OomScoreIsTheChildsAlone) {
  const std::string own = test::read_file("/proc/self/oom_score_adj");
  LaunchSpec spec = probe({"report"});
  spec.oom_score_adjustment = 567;  // raising it needs no privilege
  EXPECT_THAT(values_of(output_of(spec), "oom-score"), ElementsAre("567"));
  EXPECT_EQ(test::read_file("/proc/self/oom_score_adj"), own);
}

TEST(ProcessLauncher, ChildHasTheIdentityGivenAndTheParentKeepsItsOwn) {
  if (!test::is_root()) GTEST_SKIP() << "only root may change users";
  LaunchSpec spec = probe({"report"});
  spec.identity = Identity{12345, 23456, {23456, 34567}, "", ""};
  const std::string report = output_of(spec);
  EXPECT_THAT(values_of(report, "uid"), ElementsAre("12345 12345"));
  EXPECT_THAT(values_of(report, "gid"), ElementsAre("23456 23456"));
  EXPECT_THAT(values_of(report, "group"), UnorderedElementsAre("23456", "34567"));
  EXPECT_EQ(::getuid(), 0U);
  EXPECT_EQ(::prctl(PR_GET_DUMPABLE), 1) << "core dumps of the parent would be switched off";
}

TEST(ProcessLauncher, DirectoryNeedOnlyBeReachableForTheParent) {
  if (!test::is_root()) GTEST_SKIP() << "only root may change users";
  const test::TemporaryDirectory directory;  // mode 0700, root's
  LaunchSpec spec = probe({"exit", "0"});
  spec.identity = Identity{12345, 23456, {}, "", ""};
  spec.working_directory = directory.path();
  EXPECT_EQ(output_of(spec), "");
}

TEST(ProcessLauncher, OtherThreadsGoOnWhileAChildStarts) {
  std::atomic<bool> done = false;
  std::atomic<unsigned> rounds = 0;
  std::thread busy([&] {
    while (!done) {
      std::string memory(1 + rounds % 5000, 'x');
      rounds += static_cast<unsigned>(memory.back() == 'x');
    }
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(values_of(output_of(probe({"report"})), "fd"), Not(Contains("3")));
  }
  done = true;
  busy.join();
  EXPECT_GT(rounds, 0U);
}

TEST(ProcessLauncher, ParentIsLeftWithTheDescriptorsItHad) {
  output_of(probe({"exit", "0"}));
  const std::vector<int> before = test::open_descriptors();
  output_of(probe({"exit", "0"}));
  EXPECT_EQ(test::open_descriptors(), before);
}

}  // namespace
}  // namespace corn::os
