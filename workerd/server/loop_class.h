// SPDX-License-Identifier: Apache-2.0
// The engine on the application's own loop: what the worker classes have in common that are turned
// by their runtime (app/loop.h) and have many requests inside at once.
//
// Everything happens on the loop's thread, from within turn() or, when the application reads,
// writes or leaves, between two turns. One case is different: the worker is put down because that
// thread hangs in the application. Then another thread answers the clients; so whoever touches the
// engine holds it (Hold), which costs little as long as nobody else wants it.
#pragma once

#include <atomic>
#include <mutex>

#include "workerd/app/loop.h"
#include "workerd/server/reactor.h"
#include "workerd/server/worker_class.h"

namespace corn::server {

class LoopClass : public WorkerClass, private app::EngineLoop {
 public:
  explicit LoopClass(app::HostLoop& host) : host_(host) {}

  void run(Reactor& reactor) override;
  // The loop is turned when the application lets it; its descriptor is readable at once.
  void summon() override {}
  void rescue(base::Milliseconds limit) override;
  [[nodiscard]] std::size_t accept_capacity(std::size_t waiting) const override;
  [[nodiscard]] bool takes_request_with_connection() const override { return false; }
  [[nodiscard]] bool turn_is_life() const override { return true; }
  [[nodiscard]] bool passes_requests_on() const override { return false; }

 protected:
  // Exclusive use of the engine, for as long as it lives. May be nested.
  class Hold {
   public:
    explicit Hold(LoopClass& owner) : lock_(owner.engine_) {}

   private:
    std::lock_guard<std::recursive_timed_mutex> lock_;
  };

  // Requests that may enter the application now.
  [[nodiscard]] virtual std::size_t entry_capacity() const = 0;
  // `connection`, marked as inside, has a request for the application, which must not leave it
  // before this returns. Within turn(), the engine held.
  virtual void enter(Connection& connection) = 0;
  // The application has left the request, as the connection's outcome() says. The engine held, not
  // within enter().
  void leave(Connection& connection);
  // After anything that may have given the engine work: has the host turn it in time. Does nothing
  // within turn(), which comes to it anyway.
  void plan_turn();

  // From run() on.
  [[nodiscard]] Reactor& reactor() { return *reactor_; }
  // Another thread has taken the engine for good: the application is told nothing any more.
  [[nodiscard]] bool rescued() const { return rescued_.load(std::memory_order_relaxed); }

 private:
  // app::EngineLoop
  [[nodiscard]] int descriptor() const override { return reactor_->descriptor(); }
  std::optional<base::Duration> turn() override;
  [[nodiscard]] bool done() const override { return reactor_->done(); }

  void let_in();

  app::HostLoop& host_;
  Reactor* reactor_ = nullptr;  // set by run(), for good
  bool turning_ = false;        // loop's thread
  std::atomic<bool> rescued_{false};
  std::recursive_timed_mutex engine_;
};

}  // namespace corn::server
