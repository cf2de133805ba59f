// SPDX-License-Identifier: Apache-2.0
// How the engine lives on a loop that is not its own. A runtime whose application is made for one
// (asyncio's, gevent's) turns the engine from there: it watches one descriptor, sets one timer, and
// calls turn(). Both sides are on the same thread, with no other in between.
#pragma once

#include <optional>

#include "base/clock.h"

namespace corn::app {

// The engine's side. The host loop's thread only.
class EngineLoop {
 public:
  virtual ~EngineLoop() = default;

  // Readable (poll(2)) when turn() has something to do. The same for as long as the loop lives; to
  // be watched, not read.
  [[nodiscard]] virtual int descriptor() const = 0;

  // Does what is to be done now, at most one batch of events; never waits. Requests enter the
  // application from here. Answers how long it may take until the next call: nothing is until the
  // descriptor is readable, zero is as soon as the host loop's other work has had its turn. An
  // earlier call does no harm.
  virtual std::optional<base::Duration> turn() = 0;

  // The worker is drained or told to quit: nothing is left to be done.
  [[nodiscard]] virtual bool done() const = 0;
};

// The runtime's side.
class HostLoop {
 public:
  virtual ~HostLoop() = default;

  // Serves on the calling thread: runs the application's loop, with the engine turned by it, and
  // returns soon after `engine` is done. Called once.
  virtual void run(EngineLoop& engine) = 0;

  // The application's dealings with the engine between two turns have left something to do: turn()
  // must be called within `delay`, in spite of what it has answered last. The loop's thread, never
  // from within turn().
  virtual void turn_within(base::Duration delay) = 0;
};

}  // namespace corn::app
