// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <thread>

#include "base/message.h"
#include "base/unique_fd.h"
#include "workerd/runtimes/python/config_file.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/interpreter.h"
#include "workerd/runtimes/python/loader.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/python/stacks.h"

namespace corn::python {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string directory;

void write_file(const std::string& name, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(directory + "/" + name).parent_path());
  std::ofstream(directory + "/" + name) << text;
}

class PythonEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    char pattern[] = "/tmp/corn-python-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    directory = pattern;
    std::filesystem::create_directories(directory + "/first");
    std::filesystem::create_directories(directory + "/second");
    InterpreterOptions options;
    options.working_directory = directory;
    options.python_path = {directory + "/first", directory + "/second"};
    auto started = Interpreter::start(options);
    ASSERT_TRUE(started) << started.error().message;
    interpreter_ = std::move(*started);
  }
  void TearDown() override {
    interpreter_.reset();
    std::filesystem::remove_all(directory);
  }

 private:
  std::unique_ptr<Interpreter> interpreter_;
};

const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new PythonEnvironment);

// The str of what Python evaluates.
std::string evaluate(const std::string& expression) {
  const GilHold hold;
  const Ref globals = Ref::steal(Py_BuildValue("{s:O}", "__builtins__", PyEval_GetBuiltins()));
  const Ref result =
      Ref::steal(PyRun_String(expression.c_str(), Py_eval_input, globals.get(), globals.get()));
  if (!result) {
    PyErr_Print();
    return "failed";
  }
  return to_text(Ref::steal(PyObject_Str(result.get())).get());
}

// ---- the interpreter ----

TEST(Interpreter, LooksLikeThePythonProgram) {
  EXPECT_EQ(evaluate("__import__('sys').executable"), "/usr/bin/python3");
  EXPECT_EQ(evaluate("__import__('sys').prefix"), "/usr");
  EXPECT_EQ(evaluate("__import__('sys').argv"), "['arbiterd']");
  EXPECT_EQ(evaluate("__import__('os').environ['SERVER_SOFTWARE']"), "corn/" CORN_VERSION);
  EXPECT_EQ(evaluate("__import__('sys').flags.isolated"), "0");
}

TEST(Interpreter, WorkingDirectoryThenPythonPathComeFirst) {
  EXPECT_EQ(evaluate("__import__('sys').path[:3]"),
            "['" + directory + "', '" + directory + "/first', '" + directory + "/second']");
}

TEST(Interpreter, OutputIsWrittenLineByLine) {
  EXPECT_EQ(evaluate("__import__('sys').stdout.line_buffering"), "True");
}

TEST(Interpreter, PythonHandlesNoSignals) {
  EXPECT_EQ(evaluate("__import__('signal').getsignal(15) is __import__('signal').SIG_DFL"), "True");
}

// ---- virtual environments ----

std::string start_with_environment(const std::string& virtual_env) {
  InterpreterOptions options;
  options.virtual_env = virtual_env;
  // Refusals come before Python starts, so that the one of this program is not in the way.
  auto started = Interpreter::start(options);
  return started ? "started" : started.error().message;
}

TEST(VirtualEnvironment, ADirectoryThatIsNoneIsRefusedWithTheRemedy) {
  EXPECT_THAT(start_with_environment(directory),
              AllOf(HasSubstr("is not a virtual environment"), HasSubstr("-m venv")));
}

TEST(VirtualEnvironment, AnotherPythonVersionIsRefused) {
  write_file("old/pyvenv.cfg", "home = /usr/bin\nversion = 3.9.2\n");
  EXPECT_THAT(start_with_environment(directory + "/old"),
              HasSubstr("is of Python 3.9.2, but Corn runs Python 3.11"));
}

TEST(VirtualEnvironment, OneWithoutAProgramIsRefused) {
  write_file("empty/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n");
  EXPECT_THAT(start_with_environment(directory + "/empty"), HasSubstr("has no bin/python3"));
}

// ---- the loader ----

std::string load(const std::string& specification) {
  const GilHold hold;
  auto loaded = load_callable(specification, "wsgi");
  if (!loaded) {
    EXPECT_EQ(loaded.error().kind, base::BootFailure::kApplication);
    return loaded.error().text;
  }
  const Ref result = Ref::steal(PyObject_CallNoArgs(loaded->get()));
  if (!result) PyErr_Clear();
  return result && PyUnicode_Check(result.get()) ? to_text(result.get()) : "called";
}

class Loader : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    write_file("good.py",
               "import os.path\n"
               "def application(): return 'default'\n"
               "def named(): return 'named'\n"
               "class Space:\n    class Inner:\n        @staticmethod\n        def app(): return "
               "'dotted'\n"
               "def factory(text='made', *, suffix=''):\n    return lambda: text + suffix\n"
               "def nothing(): return None\n"
               "def broken(): raise ValueError('from inside')\n"
               "def inner_type_error(): return len(5)\n"
               "async def asgi(scope, receive, send): pass\n"
               "number = 5\n");
    write_file("package/__init__.py", "");
    write_file("package/module.py", "def app(): return 'packaged'\n");
    write_file("raises.py", "def helper():\n    raise RuntimeError('at import')\nhelper()\n");
    write_file("syntax.py", "x = 1\ny = = 2\n");
    write_file("exits.py", "import sys\nsys.exit('no configuration')\n");
    write_file("needs.py", "import surely_not_there\n");
  }
};

TEST_F(Loader, FindsWhatIsNamed) {
  EXPECT_EQ(load("good"), "default");
  EXPECT_EQ(load("good:named"), "named");
  EXPECT_EQ(load("good:Space.Inner.app"), "dotted");
  EXPECT_EQ(load("package.module:app"), "packaged");
  EXPECT_EQ(load("good:factory()"), "made");
  EXPECT_EQ(load("good:factory('given', suffix='!')"), "given!");
}

TEST_F(Loader, AMissingModuleIsNamedWithoutATraceback) {
  EXPECT_THAT(load("absent:app"),
              AllOf(StartsWith("cannot import module 'absent': ModuleNotFoundError: No module "
                               "named 'absent'; looked in "),
                    Not(HasSubstr("Traceback"))));
  EXPECT_THAT(load("package.absent"), HasSubstr("No module named 'package.absent'"));
  EXPECT_THAT(load("absent.inner"), HasSubstr("No module named 'absent'"));
}

TEST_F(Loader, AFailedImportShowsTheApplicationsPartOfTheTraceback) {
  const std::string text = load("raises");
  EXPECT_THAT(text, StartsWith("cannot import module 'raises': RuntimeError: at import\nTraceback "
                               "(most recent call last):\n  File \"" +
                               directory + "/raises.py\", line 3, in <module>\n"));
  EXPECT_THAT(text, Not(HasSubstr("importlib")));
  EXPECT_THAT(text, Not(HasSubstr("<corn")));
  EXPECT_THAT(load("needs"), AllOf(StartsWith("cannot import module 'needs': ModuleNotFoundError: "
                                              "No module named 'surely_not_there'\nTraceback"),
                                   HasSubstr("needs.py\", line 1")));
}

TEST_F(Loader, ASyntaxErrorShowsItsLine) {
  EXPECT_THAT(load("syntax"), AllOf(HasSubstr("SyntaxError: invalid syntax"),
                                    HasSubstr("syntax.py\", line 2"), HasSubstr("y = = 2")));
}

TEST_F(Loader, AModuleThatExitsIsCaught) {
  EXPECT_THAT(
      load("exits"),
      StartsWith("module 'exits' called sys.exit('no configuration') while it was imported"));
}

TEST_F(Loader, AFileNameIsCorrected) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory);
  EXPECT_THAT(load("good.py"), HasSubstr("did you mean 'good:application'?"));
  std::filesystem::current_path(before);
}

TEST_F(Loader, AMissingNameListsTheCallables) {
  EXPECT_THAT(
      load("good:app"),
      AllOf(
          HasSubstr("module 'good' has no attribute 'app'; callables there: Space, application, "),
          HasSubstr("named")));
  EXPECT_THAT(load("good:Space.outer"),
              HasSubstr("has no attribute 'outer'; callables there: Inner"));
}

TEST_F(Loader, WhatCannotBeCalledIsRefused) {
  EXPECT_THAT(load("good:number"), HasSubstr("'good:number' is not callable, but of type 'int'"));
  EXPECT_THAT(load("good:number()"), HasSubstr("calls what is not callable"));
  EXPECT_THAT(load("good:nothing()"), HasSubstr("returned None instead of an application"));
  EXPECT_THAT(load("good:asgi"), HasSubstr("run it with the worker class asgi"));
}

TEST_F(Loader, FactoriesThatFailAreExplained) {
  EXPECT_THAT(
      load("good:factory(1, 2)"),
      AllOf(HasSubstr("wrong arguments: TypeError: factory() takes"), Not(HasSubstr("Traceback"))));
  EXPECT_THAT(load("good:broken()"),
              AllOf(HasSubstr("factory 'broken()' failed: ValueError: from inside\nTraceback"),
                    HasSubstr("good.py")));
  EXPECT_THAT(load("good:inner_type_error()"),
              HasSubstr("failed: TypeError: object of type 'int' has no len()\nTraceback"));
}

TEST_F(Loader, SpecificationsThatMakeNoSenseAreRefused) {
  EXPECT_THAT(load(":app"), HasSubstr("names no application"));
  EXPECT_THAT(load("good:"), HasSubstr("names no application"));
  EXPECT_THAT(load("good:1"), HasSubstr("is neither a name nor a call"));
  EXPECT_THAT(load("good:f("), HasSubstr("is neither a name nor a call"));
  EXPECT_THAT(load("good:f(x)"), HasSubstr("must be literals"));
  EXPECT_THAT(load("good:f(**{})"), HasSubstr("is neither a name nor a call"));
}

// ---- configuration files ----

std::map<std::string, base::ConfigValue> values_of(const std::string& location) {
  std::map<std::string, base::ConfigValue> values;
  const base::Message message = evaluate_config_file(location);
  if (const auto* failed = std::get_if<base::ConfigFailed>(&message)) {
    ADD_FAILURE() << failed->text;
    return values;
  }
  for (const auto& value : std::get<base::ConfigValues>(message).values) values[value.name] = value;
  return values;
}

std::string failure_of(const std::string& location) {
  const base::Message message = evaluate_config_file(location);
  const auto* failed = std::get_if<base::ConfigFailed>(&message);
  return failed != nullptr ? failed->text : "no failure";
}

TEST(ConfigFile, ValuesComeWithTypeAndLine) {
  write_file("conf.py",
             "import multiprocessing\n"
             "import pathlib\n"
             "bind = ['127.0.0.1:8000', 'unix:/x']\n"
             "workers = 1\n"
             "workers = workers * 2 + 1\n"
             "if True:\n"
             "    timeout = 2.5\n"
             "pidfile = pathlib.Path('/x')\n"
             "preload_app: bool = True\n"
             "name, other = 'a\\u00e9', None\n"
             "_private = 1\n"
             "some = {3, 1}\n"
             "def on_starting(server):\n    inner = 1\n"
             "assert __name__ == '__config__' and __file__.endswith('conf.py')\n");
  auto values = values_of(directory + "/conf.py");
  const auto shown = [&](const std::string& name) {
    const auto& v = values[name];
    return v.value + " " + v.type + " " + std::to_string(v.line);
  };
  EXPECT_EQ(shown("bind"), R"(["127.0.0.1:8000", "unix:/x"] list 3)");
  EXPECT_EQ(shown("workers"), "3 int 5");
  EXPECT_EQ(shown("timeout"), "2.5 float 7");
  EXPECT_EQ(shown("pidfile"), " PosixPath 8");
  EXPECT_EQ(shown("preload_app"), "true bool 9");
  EXPECT_EQ(shown("name"), R"("a\u00e9" str 10)");
  EXPECT_EQ(shown("other"), "null NoneType 10");
  EXPECT_EQ(shown("some"), "[1, 3] set 12");
  EXPECT_EQ(shown("on_starting"), " function 13");
  EXPECT_EQ(values.size(), 9U);
}

TEST(ConfigFile, AModuleCanBeNamed) {
  write_file("settings_module.py", "\nworkers = 4\n");
  auto values = values_of("python:settings_module");
  EXPECT_EQ(values["workers"].value, "4");
  EXPECT_EQ(values["workers"].line, 2U);
  EXPECT_EQ(values_of("file:" + directory + "/settings_module.py").size(), 1U);
}

TEST(ConfigFile, FailuresNameFileAndLine) {
  const auto path = [](const std::string& name) { return directory + "/" + name; };
  write_file("syntax.conf.py", "a = 1\nb = (\n");
  EXPECT_THAT(failure_of(path("syntax.conf.py")),
              StartsWith(path("syntax.conf.py") + ":2: SyntaxError: '(' was never closed\n"));
  write_file("raises.conf.py", "def f():\n    return 1 / 0\n\nworkers = f()\n");
  EXPECT_THAT(failure_of(path("raises.conf.py")),
              AllOf(StartsWith(path("raises.conf.py") +
                               ":2: ZeroDivisionError: division by zero\nTraceback"),
                    Not(HasSubstr("<corn"))));
  write_file("exits.conf.py", "import sys\nsys.exit(3)\n");
  EXPECT_THAT(failure_of(path("exits.conf.py")),
              StartsWith(path("exits.conf.py") + ":2: SystemExit: 3\n"));
  EXPECT_THAT(failure_of(path("absent.py")), HasSubstr("absent.py: no such file"));
  EXPECT_THAT(failure_of("python:absent_settings"),
              StartsWith("python:absent_settings: ModuleNotFoundError"));
}

TEST(ConfigFile, ValuesTooLargeForTheChannelAreNamed) {
  write_file("large.py", "table = list(range(100000))\n");
  EXPECT_THAT(failure_of(directory + "/large.py"), HasSubstr("the largest is 'table'"));
}

// ---- stacks ----

std::string dump(const std::function<void(int)>& write) {
  const base::UniqueFd file(::memfd_create("dump", MFD_CLOEXEC));
  write(file.get());
  std::string text(65536, '\0');
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

TEST(Stacks, AThreadThatWaitsIsShown) {
  write_file("waits.py",
             "import threading\nentered = threading.Event()\nleave = threading.Event()\n"
             "def application():\n    entered.set()\n    leave.wait()\n    return 'left'\n");
  std::thread thread([&] {
    EXPECT_EQ(load("waits"), "left");
    detach_thread();
  });
  EXPECT_EQ(load("waits:entered.wait"), "called");
  const auto text = dump([](int fd) { dump_stacks_carefully(fd, std::chrono::seconds(20)); });
  EXPECT_THAT(text, HasSubstr("waits.py\", line 6 in application"));
  EXPECT_EQ(load("waits:leave.set"), "called");
  thread.join();
}

const base::ThreadStack* stack_of(const base::DumpResult& result, pid_t thread) {
  for (const base::ThreadStack& stack : result.threads) {
    if (stack.thread_id == static_cast<std::uint32_t>(thread)) return &stack;
  }
  return nullptr;
}

TEST(Stacks, CollectedOnesCarryTheKernelsThreadIdAndNotTheCollectorsOwn) {
  write_file("collects.py",
             "import threading\nentered = threading.Event()\nleave = threading.Event()\n"
             "def application():\n    entered.set()\n    leave.wait()\n    return 'left'\n");
  std::atomic<pid_t> id{0};
  std::thread thread([&] {
    id = ::gettid();
    EXPECT_EQ(load("collects"), "left");
    detach_thread();
  });
  EXPECT_EQ(load("collects:entered.wait"), "called");
  const auto result = collect_stacks(std::chrono::seconds(20), std::chrono::seconds(20));
  EXPECT_EQ(result.text, "");
  const base::ThreadStack* stack = stack_of(result, id);
  ASSERT_NE(stack, nullptr);
  EXPECT_THAT(stack->python, HasSubstr("collects.py\", line 6 in application"));
  EXPECT_THAT(stack->python, Not(HasSubstr("most recent call first")));
  EXPECT_EQ(load("collects:leave.set"), "called");
  thread.join();
}

TEST(Stacks, AThreadThatKeepsTheLockForLongIsCollectedWithoutItAndOthersAreNot) {
  std::promise<void> held;
  std::promise<void> release;
  std::thread thread([&] {
    {
      const GilHold hold;
      held.set_value();
      release.get_future().wait();
    }
    detach_thread();
  });
  held.get_future().wait();
  for (int i = 0; i < 3; ++i) {
    const auto shown =
        collect_stacks(std::chrono::milliseconds(20), std::chrono::milliseconds(20000));
    EXPECT_EQ(shown.text, "");
    EXPECT_FALSE(shown.threads.empty());
  }
  const auto refused = collect_stacks(std::chrono::seconds(20), std::chrono::milliseconds(20));
  EXPECT_THAT(refused.text, HasSubstr("no Python stacks"));
  EXPECT_TRUE(refused.threads.empty());
  release.set_value();
  thread.join();
}

TEST(Stacks, AThreadThatKeepsTheLockIsShownAllTheSame) {
  std::promise<void> held;
  std::promise<void> release;
  std::thread thread([&] {
    {
      const GilHold hold;  // a C function that neither returns nor gives the lock up
      held.set_value();
      release.get_future().wait();
    }
    detach_thread();
  });
  held.get_future().wait();
  const auto text = dump([](int fd) { dump_stacks_carefully(fd, std::chrono::milliseconds(10)); });
  EXPECT_THAT(text, HasSubstr("(most recent call first)"));
  release.set_value();
  thread.join();
}

}  // namespace
}  // namespace corn::python
