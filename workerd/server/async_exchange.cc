// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/async_exchange.h"

#include <algorithm>
#include <cerrno>

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
  connection_ = nullptr;
  return exchange_.failed();
}

void AsyncExchange::abandon() {
  if (connection_ == nullptr) return;
  connection_->set_watcher(nullptr);
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

void AsyncExchange::on_change() {
  if (handler_ != nullptr && !owner_.rescued()) handler_->on_change();
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

}  // namespace corn::server
