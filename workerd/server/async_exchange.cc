// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/async_exchange.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string>

#include "workerd/server/async_class.h"

namespace corn::server {

AsyncExchange::AsyncExchange(AsyncClass& owner, app::Application& application, base::Slot& slot)
    : owner_(owner), exchange_(application, slot, *this) {}

void AsyncExchange::begin(Connection& connection, base::TimePoint now) {
  connection_ = &connection;
  handler_ = nullptr;
  congested_ = false;
  exchange_.begin(connection);
  guest_.method = connection.head().method;
  guest_.target = connection.head().target;
  guest_.started = now;
  connection.begin(now);
  connection.set_watcher(this);
}

bool AsyncExchange::end(base::TimePoint now) {
  exchange_.end(guest_.started, now);
  session_.reset();
  connection_ = nullptr;
  return exchange_.failed();
}

void AsyncExchange::abandon() {
  if (connection_ == nullptr) return;
  connection_->set_watcher(nullptr);
  session_.reset();
  connection_ = nullptr;
  if (handler_ != nullptr) handler_->on_abandoned();
}

std::size_t AsyncExchange::body_available() const {
  return static_cast<std::size_t>(connection_->body().available());
}

void AsyncExchange::want_body() {
  if (!connection_->continue_wanted()) return;
  const AsyncClass::Hold hold(owner_);
  if (!exchange_.responder().head_sent()) {
    connection_->transmitter().send_now(http::kContinueResponse);
  }
  connection_->continue_wanted() = false;
}

base::Result<std::size_t> AsyncExchange::read_body(char* to, std::size_t size) {
  const AsyncClass::Hold hold(owner_);
  auto read = connection_->body().read(to, size);
  if (!read) return tl::unexpected<base::Error>(read.error());
  connection_->continue_wanted() = false;
  if (read->emptied_full) body_emptied(connection_->id());
  return read->size;
}

void AsyncExchange::body_emptied(ConnectionId connection) {
  owner_.reactor().post_body_emptied(connection);
}

bool AsyncExchange::congested() const {
  const std::size_t queued = connection_->transmitter().queued_bytes();
  congested_ = queued > (congested_ ? kLowWater : kHighWater);
  return congested_;
}

bool AsyncExchange::client_ended() { return connection_->client_ended(); }

bool AsyncExchange::given_up() const { return connection_->aborted(); }

void AsyncExchange::leave() {
  const AsyncClass::Hold hold(owner_);
  owner_.leave_exchange(*this);
}

void AsyncExchange::deny_handshake(const http::ProtocolError& error) {
  const std::string status = std::to_string(error.status) + " " + http::reason_phrase(error.status);
  const std::array<http::Field, 2> fields{http::Field{"Content-Type", "text/plain; charset=utf-8"},
                                          http::Field{"Sec-WebSocket-Version", "13"}};
  // Fixed texts: they can be sent.
  static_cast<void>(exchange_.responder().start(status, fields));
  static_cast<void>(exchange_.responder().write(error.reason + "\n", true));
}

// ---- WebSockets ----

bool AsyncExchange::asks_for_websocket() const {
  return http::asks_for_websocket(connection_->head());
}

base::Result<app::WebSocket*> AsyncExchange::accept_websocket(std::string_view subprotocol,
                                                              std::span<const http::Field> fields) {
  if (!asks_for_websocket() || session_ || exchange_.responder().head_sent()) {
    return base::fail("there is no WebSocket to be accepted, or no more", EALREADY);
  }
  const AsyncClass::Hold hold(owner_);
  std::string head;
  timespec clock{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &clock);
  if (auto good =
          http::append_websocket_response(connection_->head(), subprotocol, fields,
                                          connection_->commons().date.at(clock.tv_sec), head);
      !good) {
    return tl::unexpected<base::Error>(good.error());
  }
  exchange_.switch_protocol(head, 101);
  const auto now = std::chrono::steady_clock::now();
  owner_.close_account(*this, now);
  session_.emplace(owner_, *connection_, exchange_);
  session_->begin(now);
  after_sending();
  owner_.plan_turn();
  if (connection_->commons().leaving.load(std::memory_order_relaxed) != Leaving::kNo) {
    session_->on_drain();
  }
  return &*session_;
}

void AsyncExchange::on_bytes(std::string_view bytes) {
  if (session_ && !owner_.rescued()) session_->on_bytes(bytes);
}

bool AsyncExchange::wants_bytes() const { return session_ && session_->wants_bytes(); }

void AsyncExchange::on_timer(TimeoutKind kind, base::TimePoint now) {
  if (session_) session_->on_timer(kind, now);
}

void AsyncExchange::on_drain() {
  if (!session_) return;
  session_->on_drain();
  on_change();
}

void AsyncExchange::on_change() {
  if (session_ && connection_->client_ended()) session_->on_client_gone();
  if (session_) after_sending();
  if (handler_ == nullptr || owner_.rescued()) return;
  const AsyncClass::Notice notice(owner_);
  handler_->on_change();
}

// ---- the answer ----

// What the client doesn't take at once it must take in time.
void AsyncExchange::after_sending() {
  if (!connection_->transmitter().wants_flush()) return;
  connection_->watch_sending(std::chrono::steady_clock::now());
  owner_.plan_turn();
}

base::Status AsyncExchange::start(std::string_view status, std::span<const http::Field> fields) {
  return exchange_.responder().start(status, fields);
}

base::Status AsyncExchange::write(std::string_view bytes, bool last) {
  const AsyncClass::Hold hold(owner_);
  auto written = exchange_.responder().write(bytes, last);
  after_sending();
  return written;
}

base::Status AsyncExchange::send_file(int /*fd*/, off_t /*offset*/, std::uint64_t /*length*/) {
  return base::fail("files cannot be sent without waiting", ENOTSUP);
}

bool AsyncExchange::head_sent() const { return exchange_.responder().head_sent(); }

base::Status AsyncExchange::early_hints(std::span<const http::Field> fields) {
  const AsyncClass::Hold hold(owner_);
  return exchange_.responder().early_hints(fields);
}

std::span<const std::string> AsyncExchange::wanted_variables() const {
  return exchange_.responder().wanted_variables();
}

void AsyncExchange::log_variable(std::size_t index, std::string_view value) {
  exchange_.responder().log_variable(index, value);
}

base::Status AsyncExchange::hand_over() {
  return base::fail("the connection cannot be handed over", ENOTSUP);
}

void AsyncExchange::finish() {
  const AsyncClass::Hold hold(owner_);
  exchange_.responder().finish();
  after_sending();
}

void AsyncExchange::fail() {
  const AsyncClass::Hold hold(owner_);
  exchange_.responder().fail();
  after_sending();
}

void AsyncExchange::refuse(const http::ProtocolError& error) {
  const AsyncClass::Hold hold(owner_);
  exchange_.responder().refuse(error);
  after_sending();
}

}  // namespace corn::server
