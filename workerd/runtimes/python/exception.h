// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace corn::python {

struct ExceptionText {
  std::string summary;  // "ValueError: bad"; one line as a rule
  std::string text;     // as Python prints it, traceback first; ends with a newline
};

// Takes the exception being raised and puts it into words; nothing is raised afterwards. With the
// lock held. Never fails: an exception that can't be printed is named by its type.
ExceptionText take_exception();

}  // namespace corn::python
