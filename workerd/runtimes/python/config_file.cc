// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/config_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {
namespace {

base::ConfigFailed failed(std::string_view text) {
  return base::ConfigFailed{base::shorten_middle(text)};
}

base::ConfigFailed too_large(const std::string& location, const base::ConfigValues& values) {
  const auto largest = std::max_element(
      values.values.begin(), values.values.end(),
      [](const auto& a, const auto& b) { return a.value.size() < b.value.size(); });
  return failed(fmt::format(
      "{}:{}: the values of this file take more than {} bytes together, the largest is '{}' with "
      "{}; "
      "keep data that is not a setting in another module, or under a name that starts with '_'",
      location, largest->line, base::kMaxMessageBytes, largest->name, largest->value.size()));
}

bool read_values(PyObject* list, base::ConfigValues& values) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    PyObject* name = nullptr;
    PyObject* value = nullptr;
    PyObject* type = nullptr;
    unsigned int line = 0;
    if (PyArg_ParseTuple(PyList_GET_ITEM(list, i), "UUUI", &name, &value, &type, &line) == 0) {
      return false;
    }
    values.values.push_back({to_text(name), to_text(value), to_text(type), line});
  }
  return true;
}

// What a function of config_file.py makes of its argument, or what there is to be told instead.
// With the lock.
base::Result<Ref> ask(const char* function_name, PyObject* argument, const std::string& location) {
  const bool shared = share_embedded(kStandInsSource, "_corn_stand_ins") &&
                      share_embedded(kHookArgumentsSource, "_corn_hook_arguments");
  const Ref function =
      shared ? run_embedded(kConfigFileSource, "<corn configuration>", function_name) : Ref();
  const Ref result = function && argument != nullptr
                         ? Ref::steal(PyObject_CallOneArg(function.get(), argument))
                         : Ref();
  PyObject* answer = nullptr;
  PyObject* why = nullptr;
  if (!result || PyArg_ParseTuple(result.get(), "OO", &answer, &why) == 0) {
    return base::fail(location + ": " + take_exception().text);
  }
  if (why != Py_None) return base::fail(to_text(why));
  return Ref::borrow(answer);
}

base::Message to_message(const base::Result<Ref>& list, const std::string& location) {
  if (!list) return failed(list.error().message);
  base::ConfigValues values;
  if (!PyList_Check(list->get()) || !read_values(list->get(), values)) {
    return failed(location + ": " + take_exception().text);
  }
  base::Message message = std::move(values);
  if (!base::encode(message)) return too_large(location, std::get<base::ConfigValues>(message));
  return message;
}

constexpr const char* kScript = "the script";

}  // namespace

base::Message evaluate_config_file(const std::string& location) {
  const GilHold hold;
  return to_message(ask("evaluate", to_str(location).get(), location), location);
}

base::Message evaluate_script(PyObject* application) {
  const GilHold hold;
  return to_message(ask("script_values", application, kScript), kScript);
}

base::Result<Ref> config_namespace(const std::string& location) {
  const GilHold hold;
  if (location.empty()) return Ref::steal(PyDict_New());
  return ask("namespace", to_str(location).get(), location);
}

base::Result<Ref> reload_script(PyObject* application) {
  const GilHold hold;
  auto answer = ask("reload_script", application, kScript);
  if (!answer) return answer;
  return Ref::steal(PyDict_New());
}

}  // namespace corn::python
