// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/hooks.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/log.h"
#include "workerd/runtimes/python/config_file.h"
#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/loader.h"
#include "workerd/runtimes/python/logging_setup.h"

namespace corn::python {
namespace {

Hooks* current_hooks = nullptr;

PyObject* write_log(PyObject* /*module*/, PyObject* arguments) {
  int level = 0;
  PyObject* text = nullptr;
  if (PyArg_ParseTuple(arguments, "iU", &level, &text) == 0) return nullptr;
  level = std::clamp(level, static_cast<int>(base::LogLevel::kDebug),
                     static_cast<int>(base::LogLevel::kCritical));
  base::log_line(static_cast<base::LogLevel>(level), to_text(text));
  Py_RETURN_NONE;
}

PyObject* loaded(PyObject* /*module*/, PyObject* /*unused*/) {
  PyObject* callable = loaded_callable();
  if (callable == nullptr) callable = Py_None;
  Py_INCREF(callable);
  return callable;
}

PyObject* serve(PyObject* /*module*/, PyObject* callable) {
  replace_loaded(Ref::borrow(callable));
  Py_RETURN_NONE;
}

Ref parts_of_hooks() {
  const bool shared = share_embedded(kHookArgumentsSource, "_corn_hook_arguments") &&
                      share_embedded(kHookViewSource, "_corn_hook_view");
  return shared ? run_embedded(kHooksSource, "<corn hooks>", "parts") : Ref();
}

// A part of hooks.py. With the lock; null with an exception set.
Ref part(const char* name) {
  static PyObject* parts = parts_of_hooks().release();  // as long as the process
  return parts != nullptr ? Ref::steal(PyObject_GetAttrString(parts, name)) : Ref();
}

std::set<std::string, std::less<>> split(const std::string& list) {
  std::set<std::string, std::less<>> names;
  std::size_t start = 0;
  while (start < list.size()) {
    const std::size_t end = std::min(list.find(',', start), list.size());
    names.insert(list.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

// Between who wants hooks called and the thread that calls them, which may outlive the wait.
struct Errand {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t begun = 0;
  std::size_t returned = 0;
  bool called_off = false;
  std::vector<std::string> texts;
};

}  // namespace

base::Result<Hooks*> Hooks::make(const base::WorkerConfig& config, PyObject* script) {
  static PyMethodDef write_method = {"write", &write_log, METH_VARARGS, nullptr};
  static PyMethodDef loaded_method = {"loaded", &loaded, METH_NOARGS, nullptr};
  static PyMethodDef serve_method = {"serve", &serve, METH_O, nullptr};
  auto names = script != nullptr ? reload_script(script) : config_namespace(config.config_file);
  if (!names) return tl::unexpected(names.error());
  // Hooks find them at server.log, before an application is loaded.
  const base::Status loggers = make_loggers(config);
  const GilHold hold;
  const Ref definitions = std::move(*names);
  if (!loggers) return tl::unexpected(loggers.error());
  const Ref function = part("make");
  const Ref write = Ref::steal(PyCFunction_New(&write_method, nullptr));
  const Ref load = Ref::steal(PyCFunction_New(&loaded_method, nullptr));
  const Ref replace = Ref::steal(PyCFunction_New(&serve_method, nullptr));
  const Ref settings = to_str(config.settings);
  if (function && write && load && replace && settings) {
    const Ref result = Ref::steal(PyObject_CallFunctionObjArgs(
        function.get(), write.get(), settings.get(), definitions.get(),
        script != nullptr ? script : Py_None, load.get(),
        // An asynchronous application has begun its life when the hook is called.
        config.worker_class == base::WorkerClass::kAsgi ? Py_None : replace.get(), nullptr));
    PyObject* made = nullptr;
    PyObject* why = nullptr;
    const bool answered = result && PyArg_ParseTuple(result.get(), "OO", &made, &why) != 0;
    if (answered && why != Py_None)
      return base::fail("the hooks cannot be set up: " + to_text(why));
    Ref object = Ref::borrow(made);
    const Ref list =
        object ? Ref::steal(PyObject_CallMethod(object.get(), "names", nullptr)) : Ref();
    if (list) {
      // Never destroyed: the interpreter ends before exit(3) would.
      current_hooks =
          std::unique_ptr<Hooks>(new Hooks(std::move(object), split(to_text(list.get()))))
              .release();
      return current_hooks;
    }
  }
  const ExceptionText exception = take_exception();
  return base::fail("the hooks cannot be set up: " + exception.summary + "\n" + exception.text);
}

Hooks* Hooks::current() { return current_hooks; }

std::string Hooks::text_of(const Ref& result) const {
  if (!result) return take_exception().text;
  return result.get() == Py_None ? std::string() : to_text(result.get());
}

std::string Hooks::run(const std::string& name, const std::string& arguments) {
  const GilHold hold;
  return text_of(
      Ref::steal(PyObject_CallMethod(object_.get(), "run", "ss", name.c_str(), arguments.c_str())));
}

std::string Hooks::before_fork(std::uint32_t age) {
  const GilHold hold;
  return text_of(Ref::steal(PyObject_CallMethod(object_.get(), "before_fork", "I", age)));
}

void Hooks::forked(pid_t pid) {
  const GilHold hold;
  const std::string error =
      text_of(Ref::steal(PyObject_CallMethod(object_.get(), "forked", "i", pid)));
  if (!error.empty()) base::log_error("server.WORKERS is not up to date: {}", error);
}

std::string Hooks::become_worker() {
  const GilHold hold;
  return text_of(Ref::steal(PyObject_CallMethod(object_.get(), "become_worker", nullptr)));
}

std::string Hooks::post_worker_init() {
  const GilHold hold;
  return text_of(Ref::steal(PyObject_CallMethod(object_.get(), "worker_loaded", nullptr)));
}

std::string Hooks::worker_exit() {
  if (exit_begun_.exchange(true)) return {};
  const GilHold hold;
  return text_of(Ref::steal(PyObject_CallMethod(object_.get(), "worker_exit", nullptr)));
}

std::string Hooks::call_at_end(const std::string& name) {
  if (name != "worker_exit") {
    return text_of(
        Ref::steal(PyObject_CallMethod(object_.get(), "worker_ends", "s", name.c_str())));
  }
  if (exit_begun_.exchange(true)) return {};
  return text_of(Ref::steal(PyObject_CallMethod(object_.get(), "worker_exit", nullptr)));
}

std::string Hooks::end_worker(const std::vector<std::string>& names, base::Duration limit) {
  std::vector<std::string> wanted;
  std::ranges::copy_if(names, std::back_inserter(wanted),
                       [this](const std::string& name) { return is_set(name); });
  if (wanted.empty()) return {};
  const auto errand = std::make_shared<Errand>();
  try {
    std::thread([this, errand, wanted] {
      const PyGILState_STATE state = PyGILState_Ensure();
      for (const std::string& name : wanted) {
        {
          const std::lock_guard lock(errand->mutex);
          if (errand->called_off) break;
          ++errand->begun;
        }
        std::string text = call_at_end(name);
        const std::lock_guard lock(errand->mutex);
        if (!text.empty()) errand->texts.push_back(std::move(text));
        ++errand->returned;
        errand->changed.notify_all();
      }
      PyGILState_Release(state);
    }).detach();
  } catch (const std::system_error& error) {
    return fmt::format("hook {} is skipped: no thread to be had: {}",
                       fmt::join(wanted, " and hook "), error.what());
  }
  std::unique_lock lock(errand->mutex);
  errand->changed.wait_for(lock, limit, [&] { return errand->returned == wanted.size(); });
  errand->called_off = true;
  std::vector<std::string> texts = errand->texts;
  for (std::size_t i = errand->returned; i < wanted.size(); ++i) {
    if (i < errand->begun) {
      texts.push_back("hook " + wanted[i] + " has not returned yet; it is not waited for");
    } else if (errand->begun > 0) {
      texts.push_back("hook " + wanted[i] + " is skipped: there is no time left for it");
    } else {
      texts.push_back("hook " + wanted[i] +
                      " is skipped: the interpreter's lock could not be had in time");
    }
  }
  return fmt::format("{}", fmt::join(texts, "\n"));
}

bool Hooks::pre_request(PyObject* request) {
  return static_cast<bool>(
      Ref::steal(PyObject_CallMethod(object_.get(), "pre_request", "O", request)));
}

void Hooks::post_request(PyObject* request, PyObject* environ, PyObject* response) {
  const std::string error = text_of(Ref::steal(
      PyObject_CallMethod(object_.get(), "post_request", "OOO", request, environ, response)));
  if (!error.empty()) base::log_error("{}", error);
}

base::Status set_environment(const std::vector<std::string>& variables) {
  const GilHold hold;
  const Ref list = Ref::steal(PyList_New(0));
  bool built = static_cast<bool>(list);
  for (const std::string& variable : variables) {
    const Ref text = built ? to_str(variable) : Ref();
    built = text && PyList_Append(list.get(), text.get()) == 0;
  }
  const Ref function = built ? part("set_environment") : Ref();
  if (!function || !Ref::steal(PyObject_CallOneArg(function.get(), list.get()))) {
    return base::fail("the environment cannot be set: " + take_exception().text);
  }
  return {};
}

base::Status forget_inherited_exit_handlers() {
  const GilHold hold;
  const Ref function = part("forget");
  if (!function || !Ref::steal(PyObject_CallNoArgs(function.get()))) {
    return base::fail("the script's exit handlers cannot be dropped: " + take_exception().text);
  }
  return {};
}

base::Status warm_up(const std::string& path) {
  const GilHold hold;
  const Ref function = part("warm_up");
  const Ref target = to_str(path);
  PyObject* callable = loaded_callable();
  if (callable == nullptr) return base::fail("no application is loaded");
  const Ref result = function && target ? Ref::steal(PyObject_CallFunctionObjArgs(
                                              function.get(), callable, target.get(), nullptr))
                                        : Ref();
  if (!result) return base::fail(take_exception().text);
  if (result.get() != Py_None) return base::fail(to_text(result.get()));
  return {};
}

}  // namespace corn::python
