// SPDX-License-Identifier: Apache-2.0
// Requests inside an asynchronous application, as many at once as there are connections.
#pragma once

#include <memory>
#include <vector>

#include "workerd/app/async.h"
#include "workerd/server/async_exchange.h"
#include "workerd/server/loop_class.h"
#include "workerd/server/slot_desk.h"

namespace corn::server {

class AsyncClass final : public LoopClass {
 public:
  AsyncClass(app::HostLoop& host, base::ScoreboardMap& scoreboard,
             app::AsyncApplication& application, AnsweredCallback answered);

  void run(Reactor& reactor) override;

  // ---- for exchanges, on the loop's thread ----
  using LoopClass::Hold;
  using LoopClass::plan_turn;
  using LoopClass::reactor;
  using LoopClass::rescued;
  // The application has left the exchange, which may serve the next request.
  void leave_exchange(AsyncExchange& exchange);
  // While it lives, an exchange's handler is being told of a change, which a connection has under
  // way: one that is left meanwhile is left by the loop's next turn.
  class Notice {
   public:
    explicit Notice(AsyncClass& owner) : owner_(owner) { ++owner_.notices_; }
    ~Notice() { --owner_.notices_; }
    Notice(const Notice&) = delete;
    Notice& operator=(const Notice&) = delete;

   private:
    AsyncClass& owner_;
  };
  // The request is over, though its exchange goes on: as a WebSocket.
  void close_account(AsyncExchange& exchange, base::TimePoint now);

 private:
  [[nodiscard]] std::size_t entry_capacity() const override;
  void enter(Connection& connection) override;

  base::ScoreboardMap& scoreboard_;
  app::AsyncApplication& application_;
  const AnsweredCallback answered_;
  SlotDesk desk_;
  std::vector<std::unique_ptr<AsyncExchange>> exchanges_;
  std::vector<AsyncExchange*> idle_;
  int notices_ = 0;
};

}  // namespace corn::server
