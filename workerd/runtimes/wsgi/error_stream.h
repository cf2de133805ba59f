// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "workerd/runtimes/python/object.h"

namespace corn::wsgi {

// wsgi.errors: a text stream whose lines become entries of the error log. What one write()
// completes is one entry, so that a traceback stays together; an unfinished line waits for its end,
// for flush() or for the end of the request. One object serves all threads. Null with an exception
// set on failure.
python::Ref make_error_stream();

// Logs what the calling thread's request has left unfinished.
void flush_error_stream();

}  // namespace corn::wsgi
