// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/names.h"

namespace corn::driver {

const char* name_of(base::WorkerClass worker_class) {
  switch (worker_class) {
    case base::WorkerClass::kSync:
      return "sync";
    case base::WorkerClass::kThreads:
      return "gthread";
    case base::WorkerClass::kGevent:
      return "gevent";
    case base::WorkerClass::kAsgi:
      return "asgi";
    case base::WorkerClass::kNative:
      return "native";
  }
  return "?";
}

const char* state_of(core::Phase phase) {
  switch (phase) {
    case core::Phase::kStarting:
      return "STARTING";
    case core::Phase::kServing:
      return "SERVING";
    case core::Phase::kReloading:
      return "RELOADING";
    case core::Phase::kDormant:
      return "DORMANT";
    case core::Phase::kStopping:
      return "STOPPING";
  }
  return "?";
}

}  // namespace corn::driver
