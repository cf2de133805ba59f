// SPDX-License-Identifier: Apache-2.0
// One request inside an asynchronous application: what app::AsyncExchange promises, done with a
// connection's body store and transmitter. Loop's thread, with the engine held (loop_class.h),
// which every call of the application's sees to.
#pragma once

#include <optional>
#include <string_view>

#include "workerd/app/async.h"
#include "workerd/server/connection.h"
#include "workerd/server/exchange.h"
#include "workerd/server/slot_desk.h"
#include "workerd/server/web_socket_session.h"

namespace corn::server {

class AsyncClass;

class AsyncExchange final : public app::AsyncExchange,
                            private app::Responder,
                            private ExchangeHost,
                            private InsideWatcher {
 public:
  // Bytes kept for a client before its application should stop, and at which it may go on.
  static constexpr std::size_t kHighWater = 256 * 1024;
  static constexpr std::size_t kLowWater = 64 * 1024;

  AsyncExchange(AsyncClass& owner, app::Application& application, base::Slot& slot);

  // ---- for the worker class ----
  // Takes the connection's request, which is inside. Until leave() or abandon().
  void begin(Connection& connection, base::TimePoint now);
  [[nodiscard]] Connection& of() { return *connection_; }
  [[nodiscard]] SlotDesk::Guest& guest() { return guest_; }
  // Answers a wrong opening handshake, which the application is not to see.
  void deny_handshake(const http::ProtocolError& error);
  // Accounts for the request; answers whether it counts as an error.
  bool end(base::TimePoint now);
  // The loop has ended with the request inside: the application is told.
  void abandon();

 private:
  // app::AsyncExchange
  [[nodiscard]] const http::RequestHead& head() const override { return connection_->head(); }
  [[nodiscard]] const app::ConnectionInfo& connection() const override {
    return connection_->info();
  }
  [[nodiscard]] std::string_view scheme() const override { return connection_->scheme(); }
  void set_handler(app::AsyncHandler& handler) override { handler_ = &handler; }
  [[nodiscard]] std::size_t body_available() const override;
  [[nodiscard]] bool body_whole() const override { return connection_->body().is_complete(); }
  [[nodiscard]] bool body_broken() const override { return connection_->body().is_broken(); }
  void want_body() override;
  base::Result<std::size_t> read_body(char* to, std::size_t size) override;
  [[nodiscard]] app::Responder& responder() override { return *this; }
  [[nodiscard]] bool congested() const override;
  [[nodiscard]] bool client_ended() override;
  [[nodiscard]] bool given_up() const override;
  [[nodiscard]] bool asks_for_websocket() const override;
  base::Result<app::WebSocket*> accept_websocket(std::string_view subprotocol,
                                                 std::span<const http::Field> fields) override;
  void leave() override;

  // app::Responder
  base::Status start(std::string_view status, std::span<const http::Field> fields) override;
  base::Status write(std::string_view bytes, bool last) override;
  [[nodiscard]] bool may_wait() const override { return false; }
  base::Status send_file(int fd, off_t offset, std::uint64_t length) override;
  [[nodiscard]] bool head_sent() const override;
  base::Status early_hints(std::span<const http::Field> fields) override;
  [[nodiscard]] std::span<const std::string> wanted_variables() const override;
  void log_variable(std::size_t index, std::string_view value) override;
  base::Status hand_over() override;
  void finish() override;
  void fail() override;
  void refuse(const http::ProtocolError& error) override;

  // ExchangeHost
  void progressed() override {}
  void before_wait() override {}
  void after_wait() override {}
  void body_emptied(ConnectionId connection) override;
  [[nodiscard]] bool never_waits() const override { return true; }

  // InsideWatcher
  void on_change() override;
  void on_drain() override;
  void on_bytes(std::string_view bytes) override;
  [[nodiscard]] bool wants_bytes() const override;
  void on_timer(TimeoutKind kind, base::TimePoint now) override;

  void after_sending();

  AsyncClass& owner_;
  Exchange exchange_;
  SlotDesk::Guest guest_;
  Connection* connection_ = nullptr;
  app::AsyncHandler* handler_ = nullptr;
  mutable bool congested_ = false;
  std::optional<WebSocketSession> session_;
};

}  // namespace corn::server
