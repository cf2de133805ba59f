// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Python.h>

#include <span>
#include <string>
#include <vector>

#include "workerd/app/application.h"
#include "workerd/runtimes/python/object.h"

namespace corn::wsgi {

// The variables of the environ that the access log is made of. All of it belongs to the
// interpreter's lock.
class LogVariables {
 public:
  // `names` as app::Responder::wanted_variables() has them.
  explicit LogVariables(std::span<const std::string> names);

  // Gives the responder what the environ of an answered request says, str() of it. A name is looked
  // up as it is written and then, as in gunicorn, in any case. Leaves no exception set: what can't
  // be had is missing.
  void give(PyObject* environ, app::Responder& responder) const;

 private:
  struct Name {
    python::Ref key;
    std::string text;
  };
  std::vector<Name> names_;
};

}  // namespace corn::wsgi
