// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>

#include "workerd/runtimes/python/object.h"

namespace corn::wsgi {

// wsgi.file_wrapper (PEP 3333): an iterable over the blocks of a file-like object. Null with an
// exception set on failure.
python::Ref make_file_wrapper_type();

// What can be sent of a file without passing through Python.
struct FileRange {
  int fd = -1;  // the file-like object's
  off_t offset = 0;
  std::uint64_t length = 0;
};

// The rest of the regular file that `wrapper` (an instance of that type) stands for, from where the
// application would read next. nullopt when it must be read through Python: no descriptor, not a
// regular file, none of its size left, or an object that changes what it reads (compressed, text).
// No exception stays set.
std::optional<FileRange> file_range(PyObject* wrapper);

}  // namespace corn::wsgi
