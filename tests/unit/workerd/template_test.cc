// SPDX-License-Identifier: Apache-2.0
// A template as a process: what it loads, how workers come out of it, which hooks run where.
#include <gmock/gmock.h>
#include <sys/prctl.h>

#include <chrono>
#include <fstream>
#include <memory>

#include "tests/unit/workerd/worker_process.h"

namespace corn {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::WorkerProcess;

// Whether this process inherits orphans, as arbiterd does while it waits for a worker.
void inherit_orphans(bool on) { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0), 0); }

// A worker that was forked from a template. This process is the template's parent, and so its own.
class ForkedWorker {
 public:
  ForkedWorker(WorkerProcess& from, base::WorkerConfig configuration) : from_(from) {
    config = std::move(configuration);
    config.role = base::WorkerRole::kServe;
  }
  ~ForkedWorker() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  ForkedWorker(const ForkedWorker&) = delete;
  ForkedWorker& operator=(const ForkedWorker&) = delete;

  // Sends the order; the template's answer is left to the caller.
  bool order(base::Fork fork = {}) {
    auto pair = base::Channel::make_pair();
    auto board = base::ScoreboardMap::create(1);
    if (!pair || !board) return false;
    channel_ = std::move(pair->first);
    scoreboard_ = std::move(*board);
    config.listeners = {{"http://127.0.0.1", "127.0.0.1", from_.port(), false}};
    return channel_.send(base::Configure{config}) &&
           from_.send(fork, {pair->second.descriptor(), scoreboard_.descriptor(),
                             from_.listener_descriptor()});
  }
  bool start(base::Fork fork = {}) {
    if (!order(std::move(fork))) return false;
    auto forked = from_.receive<base::Forked>();
    if (forked) pid_ = forked->pid;
    return forked.has_value();
  }
  template <typename T>
  std::optional<T> receive() {
    struct pollfd entry = {channel_.descriptor(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(testing::kPatience.count())) != 1) return std::nullopt;
    auto message = channel_.receive();
    if (!message || !*message || !std::holds_alternative<T>(**message)) return std::nullopt;
    return std::get<T>(std::move(**message));
  }
  bool wait_until_ready() { return receive<base::Hello>() && receive<base::Ready>(); }
  bool send(const base::Message& message) { return static_cast<bool>(channel_.send(message)); }
  // The exit status; -1 for any other end. It is this process's child once it has been told of.
  int wait_exit() {
    int status = -1;
    if (::waitpid(pid_, &status, 0) != pid_) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

  base::WorkerConfig config;

 private:
  WorkerProcess& from_;
  base::Channel channel_;
  base::ScoreboardMap scoreboard_;
  pid_t pid_ = -1;
};

class Template : public ::testing::Test {
 protected:
  void SetUp() override { inherit_orphans(true); }
  void TearDown() override { inherit_orphans(false); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(template_.directory() + "/" + name) << text;
  }
  // Starts a template with this configuration file.
  void start(const std::string& configuration, const std::string& application = "hello") {
    write("conf.py", configuration);
    template_.config.role = base::WorkerRole::kTemplate;
    template_.config.config_file = template_.directory() + "/conf.py";
    template_.config.application = application;
    template_.config.python_path.push_back(template_.directory());
    template_.config.settings = R"({"workers": 2, "timeout": 30, "bind": ["127.0.0.1:0"]})";
    ASSERT_TRUE(template_.start());
    ASSERT_TRUE(template_.receive<base::Hello>());
  }
  void start_ready(const std::string& configuration, const std::string& application = "hello") {
    start(configuration, application);
    ASSERT_TRUE(template_.receive<base::Ready>()) << template_.log_with("ERROR");
  }
  std::string run_hook(const std::string& name, const std::string& arguments) {
    EXPECT_TRUE(template_.send(base::RunHook{7, name, arguments}));
    auto done = template_.receive<base::HookDone>();
    EXPECT_TRUE(done);
    return done ? done->error : "no answer";
  }
  ForkedWorker worker(std::uint32_t age = 1) {
    base::WorkerConfig config = template_.config;
    config.age = age;
    return {template_, config};
  }
  std::string log_with(const std::string& text) const { return template_.log_with(text); }

  WorkerProcess template_;
};

TEST_F(Template, ForksAWorkerThatServes) {
  start_ready("");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  EXPECT_THAT(template_.get("/"), EndsWith("\r\n\r\nHello, World!\n"));
  EXPECT_THAT(log_with("Booting"),
              HasSubstr("Booting worker with pid: " + std::to_string(first.pid()) + "\n"));
  const std::string process = "/proc/" + std::to_string(first.pid());
  EXPECT_THAT(WorkerProcess::read_file(process + "/cmdline"), StartsWith("corn: worker [test]"));
  EXPECT_EQ(WorkerProcess::read_file(process + "/comm"), "workerd\n");
  EXPECT_EQ(::getpgid(first.pid()), first.pid());
  ASSERT_TRUE(first.send(base::Drain{base::Milliseconds(1000), true}));
  EXPECT_EQ(first.wait_exit(), 0);
}

TEST_F(Template, MakesNoWorkerThatItsParentWouldNotInherit) {
  start_ready("");
  inherit_orphans(false);
  ForkedWorker first = worker();
  base::Fork fork;
  fork.token = 4;
  ASSERT_TRUE(first.order(fork));
  auto failed = template_.receive<base::ForkFailed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->token, 4U);
  EXPECT_EQ(failed->text, "cannot make a process: it ended before it was arbiterd's child");
  EXPECT_EQ(log_with("Booting"), "");
}

TEST_F(Template, LeavesWhenItsChannelEnds) {
  start_ready("");
  template_.leave();
  EXPECT_EQ(template_.wait_exit(), 0);
}

TEST_F(Template, OutlivesASignalThatIsSentToAllProcessesButItsWorkersDoNot) {
  start_ready("");
  template_.signal(SIGTERM);
  template_.signal(SIGHUP);
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  ::kill(first.pid(), SIGTERM);
  EXPECT_EQ(first.wait_exit(), 0);
}

TEST_F(Template, LoadsTheApplicationOnceForAllWorkers) {
  write("counted.py",
        "import os\n"
        "open(os.environ['TRACE'], 'a').write(f'{os.getpid()}\\n')\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(os.getpid()).encode()]\n");
  template_.environment = {"TRACE=" + template_.directory() + "/trace"};
  template_.config.preload = true;
  start_ready("", "counted");
  ForkedWorker first = worker(1);
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  EXPECT_EQ(template_.body("/"), std::to_string(first.pid()));
  ForkedWorker second = worker(2);
  ASSERT_TRUE(second.start());
  ASSERT_TRUE(second.wait_until_ready());
  EXPECT_EQ(WorkerProcess::read_file(template_.directory() + "/trace"),
            std::to_string(template_.pid()) + "\n");
}

// ---- what it is for ----

// Memory that belongs to a process alone, and its share of what it has in common with others.
std::size_t proportional_kilobytes(pid_t pid) {
  const std::string file =
      WorkerProcess::read_file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  const auto at = file.find("\nPss:");
  return at == std::string::npos ? 0 : std::stoul(file.substr(at + 5));
}

TEST_F(Template, PreloadedWorkersAreThereAtOnceAndShareTheirMemory) {
  write("large.py",
        "import decimal, email.message, http.client, json, xml.dom.minidom\n"
        "data = [str(i) * 3 for i in range(200000)]\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n");
  template_.config.preload = true;
  start_ready("", "large");
  std::vector<std::unique_ptr<ForkedWorker>> workers;
  std::chrono::nanoseconds quickest = testing::kPatience;
  for (std::uint32_t age = 1; age <= 8; ++age) {
    base::WorkerConfig config = template_.config;
    config.age = age;
    workers.push_back(std::make_unique<ForkedWorker>(template_, config));
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(workers.back()->start());
    ASSERT_TRUE(workers.back()->wait_until_ready());
    quickest =
        std::min<std::chrono::nanoseconds>(quickest, std::chrono::steady_clock::now() - begin);
  }
  std::size_t shared = 0;
  for (const auto& worker : workers) shared += proportional_kilobytes(worker->pid());
  const std::string status =
      WorkerProcess::read_file("/proc/" + std::to_string(template_.pid()) + "/status");
  const std::size_t alone = std::stoul(status.substr(status.find("VmRSS:") + 6));
  RecordProperty("fork_to_ready_microseconds", static_cast<int>(quickest.count() / 1000));
  RecordProperty("kilobytes_of_8_workers", static_cast<int>(shared));
  RecordProperty("kilobytes_of_1_by_itself", static_cast<int>(alone));
  EXPECT_LT(shared, 8 * alone * 3 / 10);
  EXPECT_LT(quickest, std::chrono::milliseconds(100));
}

TEST_F(Template, ThreadsOfAPreloadedApplicationAreNamedAsMissing) {
  write("threaded.py",
        "import threading\n"
        "from hello import application\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n");
  template_.config.preload = true;
  template_.config.python_path.push_back(CORN_SOURCE_DIR "/tests/apps");
  start_ready("", "threaded");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  EXPECT_THAT(template_.get("/"), EndsWith("\r\n\r\nHello, World!\n"));
#if defined(__SANITIZE_THREAD__)
  const char* expected = "] 2 thread(s) run in the template";  // one is ThreadSanitizer's own
#else
  const char* expected = "] 1 thread(s) run in the template";
#endif
  EXPECT_THAT(log_with("thread(s)"), HasSubstr(expected));
}

TEST_F(Template, ACrashOfAWorkerIsARecordOfItsOwn) {
  template_.config.log_json = true;
  start_ready("def post_worker_init(worker): worker.log.info('up %s', worker.age)\n");
  for (std::uint32_t age = 1; age <= 2; ++age) {
    ForkedWorker next = worker(age);
    ASSERT_TRUE(next.start());
    ASSERT_TRUE(next.wait_until_ready());
    ::kill(next.pid(), SIGSEGV);
    next.wait_exit();
  }
  const std::string log = log_with("up 2");
  const auto first = log.find("Fatal Python error");
  ASSERT_NE(first, std::string::npos) << log;
  const auto second = log.find("Fatal Python error", first + 1);
  ASSERT_NE(second, std::string::npos) << log;
  EXPECT_EQ(log.find("Fatal Python error", second + 1), std::string::npos) << log;
}

TEST_F(Template, AnApplicationThatCannotBePreloadedIsReported) {
  template_.config.preload = true;
  start("", "import_error");
  auto failed = template_.receive<base::BootFailed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->kind, base::BootFailure::kApplication);
  EXPECT_THAT(failed->text, HasSubstr("the database is not there\nTraceback"));
  EXPECT_EQ(template_.wait_exit(), 4);
}

TEST_F(Template, AsksForTheWarmUpPathsBeforeItIsReady) {
  write("warm.py",
        "paths = []\n"
        "def application(environ, start_response):\n"
        "    paths.append(environ['PATH_INFO'] + '?' + environ['QUERY_STRING'])\n"
        "    if environ['PATH_INFO'] == '/bad': raise RuntimeError('cold')\n"
        "    start_response('200 OK', [])\n"
        "    return [' '.join(paths).encode()]\n");
  template_.config.preload = true;
  template_.config.warm_up = {"/a?b=c", "/bad"};
  start_ready("", "warm");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  EXPECT_EQ(template_.body("/now"), "/a?b=c /bad? /now?");
  EXPECT_THAT(log_with("cold"),
              HasSubstr("Warm-up request /bad: the application raised\nTraceback"));
}

TEST_F(Template, HooksOfAWorkerRunInOrder) {
  start_ready(
      "def pre_fork(server, worker): server.trail = ['pre_fork %s' % worker.age]\n"
      "def post_fork(server, worker): server.trail.append('post_fork')\n"
      "def post_worker_init(worker): worker.log.info('init %s', worker.wsgi.__name__)\n"
      "def pre_request(worker, req): worker.log.info('pre %s %s', req.method, req.uri)\n"
      "def post_request(worker, req, environ, resp):\n"
      "    worker.log.info('post %s %s %s %s', environ['PATH_INFO'], resp.status, "
      "resp.status_code, resp.sent)\n"
      "def worker_exit(server, worker):\n"
      "    server.log.info('trail %s, nr %s, pid %s', server.trail, worker.nr, worker.pid)\n");
  ForkedWorker first = worker(5);
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  const std::string pid = std::to_string(first.pid());
  template_.get("/x?y");
  ASSERT_TRUE(first.send(base::Drain{base::Milliseconds(1000), true}));
  EXPECT_EQ(first.wait_exit(), 0);
  EXPECT_THAT(log_with("trail"),
              AllOf(HasSubstr("[INFO] init app"), HasSubstr("[INFO] pre GET /x?y\n"),
                    HasSubstr("[INFO] post /x 200 OK 200 14\n"),
                    HasSubstr("trail ['pre_fork 5', 'post_fork'], nr 1, pid " + pid + "\n")));
}

TEST_F(Template, AHookThatRaisesBeforeTheForkCallsItOff) {
  start_ready("def pre_fork(server, worker): raise ValueError('not today')\n");
  ForkedWorker first = worker();
  base::Fork fork;
  fork.token = 9;
  ASSERT_TRUE(first.order(fork));
  auto failed = template_.receive<base::ForkFailed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->token, 9U);
  EXPECT_THAT(failed->text,
              AllOf(StartsWith("hook pre_fork failed: ValueError: not today\nTraceback"),
                    HasSubstr("conf.py\", line 1, in pre_fork"), Not(HasSubstr("<corn"))));
}

TEST_F(Template, AHookThatRaisesInTheWorkerKeepsItFromBooting) {
  start_ready(
      "def post_fork(server, worker): raise ValueError('not here')\n"
      "def worker_exit(server, worker): server.log.info('exit hook')\n");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.receive<base::Hello>());
  auto failed = first.receive<base::BootFailed>();
  ASSERT_TRUE(failed);
  EXPECT_THAT(failed->text, StartsWith("hook post_fork failed: ValueError: not here\nTraceback"));
  EXPECT_EQ(first.wait_exit(), 3);
  EXPECT_THAT(log_with("exit hook"), HasSubstr("[INFO] exit hook\n"));
}

TEST_F(Template, ServerHooksSeeTheWorkersThatLive) {
  start_ready(
      "def pre_fork(server, worker): worker.mark = 'mine'\n"
      "def child_exit(server, worker):\n"
      "    server.log.info('gone %s %s %s %s', worker.pid, worker.age, worker.mark, "
      "worker.exitcode)\n"
      "    server.log.info('left %s', sorted(server.WORKERS))\n"
      "def nworkers_changed(server, new, old): server.log.info('from %s to %s', old, new)\n"
      "def when_ready(server): raise OSError('no flag file')\n");
  ForkedWorker first = worker(3);
  ASSERT_TRUE(first.start());
  const std::string pid = std::to_string(first.pid());
  EXPECT_EQ(run_hook("nworkers_changed", R"({"new": 2, "old": null})"), "");
  EXPECT_EQ(run_hook("child_exit",
                     "{\"worker\": [" + pid + ", 3, 1], \"workers\": [[17, 4]], \"pid\": 1}"),
            "");
  EXPECT_EQ(run_hook("on_reload", "{}"), "");
  EXPECT_THAT(run_hook("when_ready", "{}"),
              StartsWith("hook when_ready failed: OSError: no flag file\nTraceback"));
  EXPECT_THAT(log_with("left"), AllOf(HasSubstr("from None to 2\n"), HasSubstr("left [17]\n"),
                                      HasSubstr("gone " + pid + " 3 mine 1\n")));
}

TEST_F(Template, WorkersShareWhatTheConfigurationMade) {
  start_ready(
      "import multiprocessing\n"
      "counter = multiprocessing.Value('i', 0)\n"
      "def post_fork(server, worker):\n"
      "    with counter.get_lock(): counter.value += 1\n"
      "def post_worker_init(worker): worker.log.info('count %s', counter.value)\n");
  ForkedWorker first = worker(1);
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  ForkedWorker second = worker(2);
  ASSERT_TRUE(second.start());
  ASSERT_TRUE(second.wait_until_ready());
  EXPECT_THAT(log_with("count 2"), HasSubstr("count 1\n"));
}

TEST_F(Template, TheEnvironmentOfAWorkerIsWhatItsForkSays) {
  start_ready(
      "import os, resource\n"
      "def post_worker_init(worker):\n"
      "    mask = os.umask(0)\n"
      "    worker.log.info('has %s %o %s', os.environ['EXTRA'], mask, "
      "resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n");
  ForkedWorker first = worker();
  base::Fork fork;
  fork.has_umask = true;
  fork.umask = 027;
  fork.descriptor_limit = 99;
  fork.environment = {"EXTRA=a=b"};
  ASSERT_TRUE(first.start(fork));
  ASSERT_TRUE(first.wait_until_ready());
  EXPECT_THAT(log_with("has"), HasSubstr("has a=b 27 99\n"));
}

TEST_F(Template, WorkerIntIsCalledWhenAWorkerQuits) {
  start_ready("def worker_int(worker): worker.log.info('int %s', worker.alive)\n");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  ::kill(first.pid(), SIGQUIT);
  EXPECT_EQ(first.wait_exit(), 0);
  EXPECT_THAT(log_with("int "), HasSubstr("int False\n"));
}

TEST_F(Template, WorkerAbortIsCalledBeforeAWorkerDies) {
  start_ready("def worker_abort(worker): worker.log.info('abort %s', worker.aborted)\n");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  ::kill(first.pid(), SIGABRT);
  first.wait_exit();
  EXPECT_THAT(log_with("abort True"), HasSubstr("abort True\n"));
}

TEST_F(Template, WorkerExitIsNamedAsSkippedWhenWorkerAbortTakesTooLong) {
  start_ready(
      "import time\n"
      "def worker_abort(worker): time.sleep(600)\n"
      "def worker_exit(server, worker): worker.log.info('exit after abort')\n");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  ::kill(first.pid(), SIGABRT);
  first.wait_exit();
  const std::string log = log_with("worker_exit is skipped");
  EXPECT_THAT(log, HasSubstr("hook worker_exit is skipped: "));
  EXPECT_THAT(log, Not(HasSubstr("exit after abort\n")));
}

TEST_F(Template, AHookOfTheWrongShapeIsNamedAtStart) {
  start("def worker_exit(server): pass\n");
  auto failed = template_.receive<base::BootFailed>();
  ASSERT_TRUE(failed);
  EXPECT_THAT(failed->text, HasSubstr("worker_exit must be a function of 2 arguments"));
}

TEST_F(Template, AHookMayBeNamedAsText) {
  write("elsewhere.py", "def ready(server): server.log.info('ready from elsewhere')\n");
  start_ready("when_ready = 'elsewhere.ready'\n");
  EXPECT_EQ(run_hook("when_ready", "{}"), "");
  EXPECT_THAT(log_with("elsewhere"), HasSubstr("ready from elsewhere\n"));
}

TEST_F(Template, ARequestWhosePreRequestHookRaisesIsAnsweredAsFailed) {
  start_ready("def pre_request(worker, req): raise ValueError('go away')\n");
  ForkedWorker first = worker();
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(first.wait_until_ready());
  EXPECT_THAT(template_.get("/"), StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(log_with("go away"), HasSubstr("ValueError: go away"));
}

}  // namespace
}  // namespace corn
