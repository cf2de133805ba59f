// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/async_class.h"

#include <limits>
#include <utility>

#include "workerd/http/websocket.h"

namespace corn::server {

AsyncClass::AsyncClass(app::HostLoop& host, base::ScoreboardMap& scoreboard,
                       app::AsyncApplication& application, AnsweredCallback answered)
    : LoopClass(host),
      scoreboard_(scoreboard),
      application_(application),
      answered_(std::move(answered)),
      desk_(scoreboard) {}

void AsyncClass::run(Reactor& reactor) {
  desk_.open();
  LoopClass::run(reactor);
  const Hold hold(*this);
  for (const auto& exchange : exchanges_) exchange->abandon();
}

// Every connection has one request inside at the most, and their number is limited.
std::size_t AsyncClass::entry_capacity() const { return std::numeric_limits<std::size_t>::max(); }

void AsyncClass::enter(Connection& connection) {
  if (idle_.empty()) {
    exchanges_.push_back(std::make_unique<AsyncExchange>(*this, application_, scoreboard_.slot(0)));
    idle_.push_back(exchanges_.back().get());
  }
  AsyncExchange& exchange = *idle_.back();
  idle_.pop_back();
  exchange.begin(connection, std::chrono::steady_clock::now());
  desk_.enter(exchange.guest());
  const http::RequestHead& head = connection.head();
  if (head.upgrade && http::asks_for_websocket(head)) {
    if (const auto problem = http::check_websocket_request(head)) {
      exchange.deny_handshake(*problem);
      leave_exchange(exchange);
      return;
    }
  }
  application_.begin(exchange);
}

void AsyncClass::close_account(AsyncExchange& exchange, base::TimePoint now) {
  desk_.leave(exchange.guest(), now, false);
}

void AsyncClass::leave_exchange(AsyncExchange& exchange) {
  Connection& connection = exchange.of();
  connection.set_watcher(nullptr);
  const auto now = std::chrono::steady_clock::now();
  const bool error = exchange.end(now);
  if (desk_.has(exchange.guest())) desk_.leave(exchange.guest(), now, error);
  idle_.push_back(&exchange);
  answered_();
  if (notices_ > 0) {
    reactor().post_left(connection.id());
  } else {
    leave(connection);
  }
}

}  // namespace corn::server
