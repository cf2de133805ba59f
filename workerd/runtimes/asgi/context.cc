// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/context.h"

namespace corn::asgi {

using python::Ref;

bool Context::use(PyObject* event_loop) {
  loop = Ref::borrow(event_loop);
  create_future = Ref::steal(PyObject_GetAttrString(event_loop, "create_future"));
  call_later = Ref::steal(PyObject_GetAttrString(event_loop, "call_later"));
  const Ref asyncio = Ref::steal(PyImport_ImportModule("asyncio"));
  if (asyncio) task_type = Ref::steal(PyObject_GetAttrString(asyncio.get(), "Task"));
  task_arguments = Ref::steal(Py_BuildValue("(s)", "loop"));
  const Ref http = Ref::steal(PyImport_ImportModule("http"));
  if (http) phrases = Ref::steal(PyObject_GetAttrString(http.get(), "HTTPStatus"));
  return create_future && call_later && task_type && task_arguments && phrases;
}

Ref Context::new_future() const { return Ref::steal(PyObject_CallNoArgs(create_future.get())); }

PyObject* Context::status_line(long status) {
  if (status < 200 || status > 999) {
    PyErr_Format(PyExc_ValueError, "%ld is no status of an answer; a code from 200 on is wanted",
                 status);
    return nullptr;
  }
  Ref& line = status_lines[static_cast<std::size_t>(status)];
  if (line) return line.get();
  std::string text = std::to_string(status) + " ";
  const Ref member = Ref::steal(PyObject_CallFunction(phrases.get(), "l", status));
  if (member) {
    text += python::to_text(Ref::steal(PyObject_GetAttrString(member.get(), "phrase")).get());
  } else {
    PyErr_Clear();  // a code that nobody has registered has no phrase
  }
  line = to_bytes(text);
  return line.get();
}

}  // namespace corn::asgi
