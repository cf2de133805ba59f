// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/input.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "workerd/runtimes/python/gil.h"

namespace corn::wsgi {
namespace {

using python::Ref;

// Bytes asked of the engine at once where the application hasn't said how many it wants.
constexpr std::size_t kReadAhead = 16 * 1024;
// A read of more bytes copies for long enough to let other threads run meanwhile.
constexpr std::size_t kLongCopy = 256 * 1024;
constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

struct Input {
  PyObject object;
  Exchange* exchange;    // null: not bound
  bool ended;            // the engine has said so
  bool busy;             // a thread is inside, perhaps without the interpreter's lock
  std::string rest;      // read from the engine, not by the application
  std::size_t consumed;  // of rest
};

Input* self_of(PyObject* object) { return reinterpret_cast<Input*>(object); }

// Marks the stream as in use: the engine's body is not made for two readers at once.
class Use {
 public:
  explicit Use(Input* input) : input_(input) {
    if (input->exchange == nullptr) {
      PyErr_SetString(PyExc_ValueError, "wsgi.input was read after its request had ended");
    } else if (input->busy) {
      PyErr_SetString(PyExc_RuntimeError, "wsgi.input is being read by another thread");
    } else if (!input->exchange->on_own_thread() && !input->exchange->request.body.whole()) {
      PyErr_SetString(PyExc_RuntimeError,
                      "wsgi.input can be read by a thread other than the request's only once "
                      "the whole body has arrived");
    } else {
      input->busy = true;
      entered_ = true;
    }
  }
  ~Use() {
    if (entered_) input_->busy = false;
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  explicit operator bool() const { return entered_; }

 private:
  Input* input_;
  bool entered_ = false;
};

std::string_view rest_of(const Input* input) {
  return std::string_view(input->rest).substr(input->consumed);
}

// Reads up to `size` bytes from the engine. 0: the body has ended; -1: an exception is set.
Py_ssize_t fetch(Input* input, char* to, std::size_t size) {
  if (input->ended) return 0;
  app::RequestBody& body = input->exchange->request.body;
  base::Result<std::size_t> got = 0;
  {
    // A foreign thread reads a whole body only, which never waits; it keeps the lock, so that the
    // request can't end under it.
    const python::GilYield yield((size >= kLongCopy || !body.readable()) &&
                                 input->exchange->on_own_thread());
    got = body.read(to, size);
  }
  if (!got && PyErr_Occurred() != nullptr) return -1;  // raised where it waited, a time-out say
  if (!got) {
    input->exchange->body_broken = true;
    const int reason = got.error().os_errno != 0 ? got.error().os_errno : EIO;
    const Ref text = python::to_str("the request's body is incomplete: " + got.error().message);
    const Ref arguments = Ref::steal(Py_BuildValue("(iO)", reason, text ? text.get() : Py_None));
    if (arguments) PyErr_SetObject(PyExc_OSError, arguments.get());
    return -1;
  }
  if (*got == 0) input->ended = true;
  return static_cast<Py_ssize_t>(*got);
}

// What stands in `rest`, up to `size` bytes of it.
std::size_t take_rest(Input* input, char* to, std::size_t size) {
  const std::string_view rest = rest_of(input);
  const std::size_t n = std::min(size, rest.size());
  std::memcpy(to, rest.data(), n);
  input->consumed += n;
  if (input->consumed == input->rest.size()) {
    input->rest.clear();
    input->consumed = 0;
  }
  return n;
}

// Exactly `size` bytes, fewer only at the end of the body. The buffer grows with what arrives, not
// with what was asked for, and is right at once where the engine knows how much there is.
PyObject* read_bytes(Input* input, std::size_t size) {
  app::RequestBody& body = input->exchange->request.body;
  std::size_t expected = rest_of(input).size();
  if (!input->ended) expected += body.whole() ? body.available() : kReadAhead;
  std::size_t capacity = std::min(size, expected);
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(capacity));
  if (bytes == nullptr) return nullptr;
  std::size_t filled = take_rest(input, PyBytes_AS_STRING(bytes), capacity);
  while (filled < size) {
    if (filled == capacity) {
      if (input->ended || (body.whole() && body.available() == 0)) break;
      capacity = std::min(size, std::max(capacity * 2, filled + kReadAhead));
      if (_PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(capacity)) < 0) return nullptr;
    }
    const Py_ssize_t n = fetch(input, PyBytes_AS_STRING(bytes) + filled, capacity - filled);
    if (n < 0) {
      Py_DECREF(bytes);
      return nullptr;
    }
    if (n == 0) break;
    filled += static_cast<std::size_t>(n);
  }
  if (filled < capacity && _PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(filled)) < 0) {
    return nullptr;
  }
  return bytes;
}

// Makes `rest` longer. False at the end of the body (no exception) or on failure (exception set).
bool fill_rest(Input* input) {
  char buffer[kReadAhead];
  const Py_ssize_t n = fetch(input, buffer, sizeof buffer);
  if (n <= 0) return false;
  input->rest.erase(0, input->consumed);
  input->consumed = 0;
  input->rest.append(buffer, static_cast<std::size_t>(n));
  return true;
}

PyObject* read_line(Input* input, std::size_t limit) {
  std::size_t searched = 0;
  std::size_t length = 0;
  for (;;) {
    const std::string_view rest = rest_of(input).substr(0, limit);
    const auto newline = rest.find('\n', searched);
    length = newline == std::string_view::npos ? rest.size() : newline + 1;
    if (newline != std::string_view::npos || rest.size() == limit) break;
    searched = rest.size();
    if (!fill_rest(input)) {
      if (PyErr_Occurred() != nullptr) return nullptr;
      break;
    }
  }
  PyObject* line = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length));
  if (line != nullptr) take_rest(input, PyBytes_AS_STRING(line), length);
  return line;
}

// The optional size argument of the read functions: missing, None or negative is unlimited.
bool size_argument(PyObject* const* arguments, Py_ssize_t count, const char* name,
                   std::size_t& size) {
  size = kUnlimited;
  if (count > 1) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", name, count);
    return false;
  }
  if (count == 0 || arguments[0] == Py_None) return true;
  // Clipped: more than fits is as good as all.
  const Py_ssize_t value = PyNumber_AsSsize_t(arguments[0], nullptr);
  if (value == -1 && PyErr_Occurred() != nullptr) return false;
  if (value >= 0) size = static_cast<std::size_t>(value);
  return true;
}

PyObject* input_read(PyObject* object, PyObject* const* arguments, Py_ssize_t count) {
  std::size_t size = 0;
  if (!size_argument(arguments, count, "read", size)) return nullptr;
  const Use use(self_of(object));
  return use ? read_bytes(self_of(object), size) : nullptr;
}

PyObject* input_readline(PyObject* object, PyObject* const* arguments, Py_ssize_t count) {
  std::size_t size = 0;
  if (!size_argument(arguments, count, "readline", size)) return nullptr;
  const Use use(self_of(object));
  return use ? read_line(self_of(object), size) : nullptr;
}

PyObject* input_readlines(PyObject* object, PyObject* const* arguments, Py_ssize_t count) {
  std::size_t hint = 0;
  if (!size_argument(arguments, count, "readlines", hint)) return nullptr;
  if (hint == 0) hint = kUnlimited;  // io.IOBase: 0 is no hint either
  const Use use(self_of(object));
  if (!use) return nullptr;
  Ref lines = Ref::steal(PyList_New(0));
  std::size_t total = 0;
  while (lines && total < hint) {
    const Ref line = Ref::steal(read_line(self_of(object), kUnlimited));
    if (!line) return nullptr;
    const Py_ssize_t length = PyBytes_GET_SIZE(line.get());
    if (length == 0) break;
    total += static_cast<std::size_t>(length);
    if (PyList_Append(lines.get(), line.get()) < 0) return nullptr;
  }
  return lines.release();
}

PyObject* input_next(PyObject* object) {
  const Use use(self_of(object));
  if (!use) return nullptr;
  PyObject* line = read_line(self_of(object), kUnlimited);
  if (line != nullptr && PyBytes_GET_SIZE(line) == 0) {
    Py_DECREF(line);
    return nullptr;  // without an exception: the end of an iteration
  }
  return line;
}

void input_deallocate(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  self_of(object)->rest.~basic_string();
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

Ref make_input_type() {
  static PyMethodDef methods[] = {
      {"read", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&input_read)),
       METH_FASTCALL, "read(size=-1, /)\n--\n\nReads size bytes, or all that is left."},
      {"readline", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&input_readline)),
       METH_FASTCALL, "readline(size=-1, /)\n--\n\nReads a line, at most size bytes of it."},
      {"readlines", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&input_readlines)),
       METH_FASTCALL, "readlines(hint=-1, /)\n--\n\nReads lines of hint bytes or more together."},
      {nullptr, nullptr, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(&input_deallocate)},
      {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
      {Py_tp_iternext, reinterpret_cast<void*>(&input_next)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  static PyType_Spec spec = {"corn.Input", static_cast<int>(sizeof(Input)), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

Ref new_input(PyObject* type) {
  auto* type_object = reinterpret_cast<PyTypeObject*>(type);
  PyObject* object = type_object->tp_alloc(type_object, 0);
  if (object == nullptr) return {};
  Input* input = self_of(object);
  new (&input->rest) std::string;
  return Ref::steal(object);
}

void bind_input(PyObject* object, Exchange* exchange) {
  Input* input = self_of(object);
  input->exchange = exchange;
  input->ended = exchange == nullptr || !exchange->request.head.has_body();
  input->rest.clear();
  input->consumed = 0;
  if (input->rest.capacity() > kLongCopy) input->rest.shrink_to_fit();  // after a very long line
}

}  // namespace corn::wsgi
