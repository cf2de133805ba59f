// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/file_wrapper.h"

#include <sys/stat.h>

#include "workerd/runtimes/python/embedded_sources.h"

namespace corn::wsgi {
namespace {

using python::Ref;

constexpr const char* kSource = R"(
class FileWrapper:
    """An iterable over the blocks of a file-like object."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        block = self.filelike.read(self.blksize)
        if block:
            return block
        raise StopIteration
)";

// True for objects whose bytes are those of their descriptor. A gzip.GzipFile has a fileno() too,
// but reads something else than what stands in the file.
bool reads_its_descriptor(PyObject* file) {
  const Ref io = Ref::steal(PyImport_ImportModule("io"));
  for (const char* name : {"BufferedReader", "BufferedRandom", "FileIO"}) {
    const Ref type = io ? Ref::steal(PyObject_GetAttrString(io.get(), name)) : Ref();
    if (type && reinterpret_cast<PyObject*>(Py_TYPE(file)) == type.get()) return true;
  }
  return false;
}

std::optional<FileRange> range_of(PyObject* wrapper) {
  Ref file = Ref::steal(PyObject_GetAttrString(wrapper, "filelike"));
  if (!file) return std::nullopt;
  if (!reads_its_descriptor(file.get())) {
    // A named temporary file keeps the real one in an attribute.
    file = Ref::steal(PyObject_GetAttrString(file.get(), "file"));
    if (!file || !reads_its_descriptor(file.get())) return std::nullopt;
  }
  const Ref number = Ref::steal(PyObject_CallMethod(file.get(), "fileno", nullptr));
  // The position the application sees: that of the descriptor is further on by what is buffered.
  const Ref position = Ref::steal(PyObject_CallMethod(file.get(), "tell", nullptr));
  if (!number || !position) return std::nullopt;
  FileRange range;
  range.fd = static_cast<int>(PyLong_AsLong(number.get()));
  range.offset = PyLong_AsLong(position.get());
  struct stat status {};
  if (PyErr_Occurred() != nullptr || ::fstat(range.fd, &status) < 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  // Files of the kernel's own (proc(5)) say that they are empty and are not.
  if (status.st_size <= range.offset) return std::nullopt;
  range.length = static_cast<std::uint64_t>(status.st_size - range.offset);
  return range;
}

}  // namespace

Ref make_file_wrapper_type() {
  return python::run_embedded(kSource, "<corn file wrapper>", "FileWrapper");
}

std::optional<FileRange> file_range(PyObject* wrapper) {
  auto range = range_of(wrapper);
  PyErr_Clear();
  return range;
}

}  // namespace corn::wsgi
