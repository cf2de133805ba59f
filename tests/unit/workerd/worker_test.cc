// SPDX-License-Identifier: Apache-2.0
// workerd as a process: how it comes up, obeys, and ends.
#include <gmock/gmock.h>

#include "tests/unit/workerd/worker_process.h"

namespace corn {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::WorkerProcess;

class Worker : public ::testing::Test {
 protected:
  // Starts it with an application from tests/apps and waits until it serves.
  void serve(const std::string& application) {
    worker_.config.application = application;
    ASSERT_TRUE(worker_.start());
    ASSERT_TRUE(worker_.wait_until_ready()) << worker_.log_with("ERROR");
  }

  // Starts what cannot boot; gives why.
  base::BootFailed fail(const std::string& application) {
    worker_.config.application = application;
    EXPECT_TRUE(worker_.start());
    EXPECT_TRUE(worker_.receive<base::Hello>());
    auto failed = worker_.receive<base::BootFailed>();
    EXPECT_TRUE(failed);
    return failed.value_or(base::BootFailed{});
  }

  std::string trace_file() { return worker_.directory() + "/trace"; }

  // A request whose answer is not waited for.
  base::UniqueFd ask(const std::string& target) {
    base::UniqueFd fd = worker_.connect();
    WorkerProcess::send_text(fd, "GET " + target + " HTTP/1.1\r\nHost: test\r\n\r\n");
    return fd;
  }

  // Waits until the scoreboard shows a request inside the application.
  bool wait_inside(const std::string& target) {
    const auto give_up = std::chrono::steady_clock::now() + testing::kPatience;
    while (std::chrono::steady_clock::now() < give_up) {
      for (const auto& slot : worker_.scoreboard().slots) {
        if (slot.request_start && slot.target == target) return true;
      }
      ::poll(nullptr, 0, 2);
    }
    return false;
  }

  WorkerProcess worker_;
};

// ---- coming up ----

TEST_F(Worker, ServesAndSaysSo) {
  serve("hello");
  EXPECT_THAT(worker_.get("/"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\nHello, World!\n")));
  EXPECT_THAT(worker_.log_with("Booting"),
              HasSubstr("[" + std::to_string(worker_.pid()) + "] [INFO] Booting worker with pid: " +
                        std::to_string(worker_.pid()) + "\n"));
  std::string title =
      WorkerProcess::read_file("/proc/" + std::to_string(worker_.pid()) + "/cmdline");
  EXPECT_THAT(title, StartsWith("corn: worker [test]"));
  EXPECT_EQ(WorkerProcess::read_file("/proc/" + std::to_string(worker_.pid()) + "/comm"),
            "workerd\n");
}

TEST_F(Worker, AnApplicationThatCannotBeImportedIsReportedWithItsTraceback) {
  const auto failed = fail("import_error");
  EXPECT_EQ(failed.kind, base::BootFailure::kApplication);
  EXPECT_THAT(failed.text, AllOf(StartsWith("cannot import module 'import_error': RuntimeError: "
                                            "the database is not there\nTraceback"),
                                 HasSubstr("in set_up")));
  EXPECT_EQ(worker_.wait_exit(), 4);
  EXPECT_THAT(worker_.log_with("[ERROR]"),
              HasSubstr("The application cannot be loaded: cannot import module 'import_error'"));
}

TEST_F(Worker, ASyntaxErrorIsReported) {
  EXPECT_THAT(fail("syntax_error").text,
              AllOf(HasSubstr("SyntaxError"), HasSubstr("syntax_error.py\", line 2")));
  EXPECT_EQ(worker_.wait_exit(), 4);
}

TEST_F(Worker, AMissingVirtualEnvironmentIsTheWorkersFailure) {
  worker_.config.virtual_env = worker_.directory() + "/absent";
  const auto failed = fail("hello");
  EXPECT_EQ(failed.kind, base::BootFailure::kWorker);
  EXPECT_THAT(failed.text, HasSubstr("is not a virtual environment"));
  EXPECT_EQ(worker_.wait_exit(), 3);
}

TEST_F(Worker, AnUnwritableLogIsTheWorkersFailure) {
  worker_.config.application = "hello";
  worker_.config.error_log = worker_.directory() + "/absent/error.log";
  ASSERT_TRUE(worker_.start());
  auto failed = worker_.receive<base::BootFailed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->kind, base::BootFailure::kWorker);
  EXPECT_THAT(failed->text, HasSubstr("cannot open the log file"));
  EXPECT_EQ(worker_.wait_exit(), 3);
}

TEST_F(Worker, CheckLoadsTheApplicationAndEnds) {
  worker_.config.role = base::WorkerRole::kCheck;
  serve("hello");
  EXPECT_EQ(worker_.wait_exit(), 0);
}

TEST_F(Worker, CheckReportsWhatCannotBeLoaded) {
  worker_.config.role = base::WorkerRole::kCheck;
  EXPECT_THAT(fail("hello:app").text,
              HasSubstr("module 'hello' has no attribute 'app'; callables there: application"));
  EXPECT_EQ(worker_.wait_exit(), 4);
}

TEST_F(Worker, ConfigHostSendsTheValuesOfAFile) {
  worker_.config.role = base::WorkerRole::kConfigHost;
  worker_.config.config_file = CORN_SOURCE_DIR "/examples/config_file/config.py";
  ASSERT_TRUE(worker_.start());
  ASSERT_TRUE(worker_.receive<base::Hello>());
  const auto values = worker_.receive<base::ConfigValues>();
  ASSERT_TRUE(values);
  EXPECT_EQ(values->values.size(), 3U);
  EXPECT_EQ(values->values[0].value, "\"127.0.0.1:8000\"");
  EXPECT_EQ(worker_.wait_exit(), 0);
}

TEST_F(Worker, AVirtualEnvironmentCountsAsForItsOwnPython) {
  const std::string environment = worker_.directory() + "/venv";
  ASSERT_EQ(std::system(("/usr/bin/python3 -m venv --without-pip " + environment).c_str()), 0);
  std::ofstream(environment + "/lib/python3.11/site-packages/only_here.py") << "";
  std::ofstream(worker_.directory() + "/app.py")
      << "import sys, only_here\n"
         "def application(environ, start_response):\n"
         "    start_response('200 OK', [])\n"
         "    return [' '.join([sys.prefix, sys.base_prefix, sys.executable]).encode()]\n";
  worker_.config.virtual_env = environment;
  worker_.config.working_directory = worker_.directory();
  serve("app");
  EXPECT_EQ(worker_.body("/"), environment + " /usr " + environment + "/bin/python3");
}

// ---- going down ----

TEST_F(Worker, TermFinishesTheRequestInProgressAndRunsExitHandlers) {
  worker_.environment = {"LIFECYCLE_LOG=" + trace_file()};
  serve("lifecycle");
  const base::UniqueFd slow = ask("/sleep/0.3");
  ASSERT_TRUE(wait_inside("/sleep/0.3"));
  const std::string pid = std::to_string(worker_.pid());
  worker_.signal(SIGTERM);
  EXPECT_THAT(WorkerProcess::read_all(slow),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Connection: close\r\n")));
  EXPECT_EQ(worker_.wait_exit(), 0);
  EXPECT_THAT(WorkerProcess::read_file(trace_file()), EndsWith("exit " + pid + "\n"));
  EXPECT_THAT(worker_.log_with("exiting"), HasSubstr("Worker exiting (pid: " + pid + ")"));
}

TEST_F(Worker, DrainEndsAtItsGraceWhateverTheApplicationDoes) {
  serve("hang");
  const base::UniqueFd stuck = ask("/sleep");
  ASSERT_TRUE(wait_inside("/sleep"));
  ASSERT_TRUE(worker_.send(base::Drain{base::Milliseconds(100), false}));
  EXPECT_EQ(worker_.wait_exit(), 0);
  EXPECT_THAT(worker_.log_with("cut off"),
              AllOf(HasSubstr("Worker does not end in time"), HasSubstr("in sleep_for_ever")));
}

TEST_F(Worker, QuitDoesNotWaitForTheApplication) {
  serve("hang");
  const base::UniqueFd stuck = ask("/c");
  ASSERT_TRUE(wait_inside("/c"));
  const auto start = std::chrono::steady_clock::now();
  worker_.signal(SIGINT);
  EXPECT_EQ(worker_.wait_exit(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(Worker, AThreadOfTheApplicationsDoesNotKeepTheWorkerBeyondItsGrace) {
  worker_.config.graceful_timeout = base::Milliseconds(300);
  serve("lifecycle");
  worker_.body("/thread");
  worker_.signal(SIGTERM);
  EXPECT_EQ(worker_.wait_exit(), 0);
}

TEST_F(Worker, AWorkerThatIsStillLoadingEndsAtOnce) {
  worker_.environment = {"IMPORT_SECONDS=1000"};
  worker_.config.application = "slow_import";
  ASSERT_TRUE(worker_.start());
  ASSERT_TRUE(worker_.receive<base::Hello>());
  worker_.signal(SIGTERM);
  const int status = worker_.wait();
  EXPECT_TRUE(WIFEXITED(status) || WTERMSIG(status) == SIGTERM);
}

TEST_F(Worker, AnOrphanServesUntilNobodyHasComeForLong) {
  worker_.config.orphan_timeout = base::Milliseconds(400);
  serve("hello");
  worker_.leave();
  EXPECT_THAT(worker_.log_with("has gone"),
              HasSubstr("[WARNING] arbiterd has gone; serving on for 0.4 s"));
  EXPECT_EQ(worker_.body("/"), "Hello, World!\n");
  EXPECT_EQ(worker_.wait_exit(), 0);
}

// ---- what hangs, and what breaks ----

class HungWorker : public Worker,
                   public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(HungWorker, ShowsItsStackAndItsRequestWhenAborted) {
  const auto& [path, frame] = GetParam();
  serve("hang");
  const base::UniqueFd stuck = ask(path);
  ASSERT_TRUE(wait_inside(path));
  worker_.signal(SIGABRT);
  const int status = worker_.wait();
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  const std::string log = worker_.log_with("Worker aborted");
  EXPECT_THAT(log, AllOf(HasSubstr("[CRITICAL] Worker aborted by SIGABRT"),
                         HasSubstr(std::string("GET ") + path), HasSubstr(frame)));
  EXPECT_THAT(WorkerProcess::read_all(stuck), StartsWith("HTTP/1.1 504 "));
}

INSTANTIATE_TEST_SUITE_P(Ways, HungWorker,
                         ::testing::Values(std::pair("/sleep", "in sleep_for_ever"),
                                           std::pair("/loop", "in loop_for_ever"),
                                           std::pair("/lock", "in lock_for_ever"),
                                           std::pair("/c", "in match_for_ever")),
                         [](const auto& each) { return std::string(each.param.first + 1); });

TEST_F(Worker, ADumpIsTakenOfALiveWorker) {
  serve("hang");
  const base::UniqueFd stuck = ask("/loop");
  ASSERT_TRUE(wait_inside("/loop"));
  ASSERT_TRUE(worker_.send(base::Dump{7}));
  const auto result = worker_.receive<base::DumpResult>();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->text, "");
  ASSERT_FALSE(result->threads.empty());
  EXPECT_THAT(result->threads[0].python, HasSubstr("in loop_for_ever"));
  ASSERT_TRUE(worker_.send(base::Ping{8}));
  EXPECT_TRUE(worker_.receive<base::Pong>());
}

TEST_F(Worker, ACrashShowsThePythonStack) {
  serve("errors");
  worker_.get("/crash");
  const int status = worker_.wait();
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  EXPECT_THAT(worker_.log_with("Fatal Python error"),
              AllOf(HasSubstr("Segmentation fault"), HasSubstr("errors.py\", line")));
}

TEST_F(Worker, AnExceptionIsAnsweredWith500AndTheWorkerLivesOn) {
  serve("errors");
  for (const char* path : {"/raise", "/exit", "/twice", "/text", "/deep"}) {
    EXPECT_THAT(worker_.get(path), StartsWith("HTTP/1.1 500 ")) << path;
    EXPECT_THAT(worker_.log_with(std::string("request ") + path),
                HasSubstr(std::string("[ERROR] Error handling request ") + path + "\n"));
  }
  EXPECT_EQ(worker_.body("/"), "hello\n");
}

// ---- output and programs of the application ----

TEST_F(Worker, OutputIsCapturedInTheErrorLogAndFollowsIt) {
  worker_.config.capture_output = true;
  serve("errors");
  worker_.get("/errors");
  EXPECT_THAT(worker_.log_with("to stderr"),
              AllOf(HasSubstr("[ERROR] to wsgi.errors\n"), HasSubstr("to stdout\n")));
  std::filesystem::rename(worker_.config.error_log, worker_.config.error_log + ".1");
  worker_.signal(SIGUSR1);
  const auto give_up = std::chrono::steady_clock::now() + testing::kPatience;
  while (!std::filesystem::exists(worker_.config.error_log) &&
         std::chrono::steady_clock::now() < give_up) {
    ::poll(nullptr, 0, 5);
  }
  do {
    worker_.get("/errors");
  } while (WorkerProcess::read_file(worker_.config.error_log).find("to stdout") ==
               std::string::npos &&
           std::chrono::steady_clock::now() < give_up);
  EXPECT_THAT(worker_.log_with("to stderr"),
              AllOf(HasSubstr("to wsgi.errors"), HasSubstr("to stdout")));
}

TEST_F(Worker, ProgramsOfTheApplicationDieOfSigtermAndTheWorkerDoesNot) {
  serve("lifecycle");
  for (const char* path : {"/child", "/forked"}) {
    const pid_t child = std::stoi(worker_.body(path));
    const base::UniqueFd pidfd(static_cast<int>(::syscall(434 /* pidfd_open */, child, 0)));
    ASSERT_TRUE(pidfd);
    ::kill(child, SIGTERM);
    struct pollfd entry = {pidfd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, static_cast<int>(testing::kPatience.count())), 1) << path;
  }
  EXPECT_EQ(worker_.body("/"), std::to_string(worker_.pid()) + "\n");
}

TEST_F(Worker, ProgramsOfTheApplicationInheritNoDescriptorOfOurs) {
  std::ofstream(worker_.directory() + "/app.py")
      << "import os, subprocess\n"
         "def application(environ, start_response):\n"
         "    start_response('200 OK', [])\n"
         "    return [subprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False, "
         "capture_output=True).stdout]\n";
  worker_.config.working_directory = worker_.directory();
  serve("app");
  EXPECT_THAT(worker_.body("/"), AllOf(Not(HasSubstr("socket:")), Not(HasSubstr("scoreboard")),
                                       Not(HasSubstr("eventpoll")), Not(HasSubstr("eventfd"))));
}

TEST_F(Worker, MaxRequestsAsksForAReplacementAndServesOn) {
  worker_.config.max_requests = 3;
  serve("hello");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(worker_.body("/"), "Hello, World!\n");
  const auto retiring = worker_.receive<base::Retiring>();
  ASSERT_TRUE(retiring);
  EXPECT_EQ(retiring->cause, "max-requests");
  EXPECT_THAT(worker_.log_with("Autorestarting"),
              HasSubstr("[INFO] Autorestarting worker after current request."));
  EXPECT_EQ(worker_.body("/"), "Hello, World!\n");
}

TEST_F(Worker, ThreadsServeAtOnce) {
  worker_.config.worker_class = base::WorkerClass::kThreads;
  worker_.config.threads = 3;
  serve("hang");
  const base::UniqueFd one = ask("/sleep");
  const base::UniqueFd two = ask("/lock");
  ASSERT_TRUE(wait_inside("/sleep"));
  ASSERT_TRUE(wait_inside("/lock"));
  EXPECT_EQ(worker_.body("/"), "hello\n");
  worker_.signal(SIGQUIT);
  EXPECT_EQ(worker_.wait_exit(), 0);
}

TEST_F(Worker, ABodyIsReadWhole) {
  serve("echo");
  const base::UniqueFd fd = worker_.connect();
  WorkerProcess::send_text(fd,
                           "POST /lines HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: "
                           "chunked\r\nConnection: close\r\n\r\n"
                           "5\r\nhello\r\n0\r\n\r\n");
  EXPECT_THAT(WorkerProcess::read_all(fd),
              EndsWith("5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n"));
}

}  // namespace
}  // namespace corn
