// SPDX-License-Identifier: Apache-2.0
// One request and its answer, as the application sees them: what app::RequestBody and
// app::Responder promise, done with a connection's body store and transmitter. One object per
// application thread, used for one request after the other so that its buffers keep their capacity.
// That thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/scoreboard.h"
#include "workerd/app/application.h"
#include "workerd/http/date.h"
#include "workerd/http/response_encoder.h"
#include "workerd/server/connection.h"
#include "workerd/server/transmitter.h"

namespace corn::server {

// What an exchange needs of whoever turns the loop. Called on the application's thread.
class ExchangeHost : public Waiter {
 public:
  // The application has taken or given something: it does not hang.
  virtual void progressed() = 0;
  // Reading was paused because the body store was full, and the application has emptied it.
  virtual void body_emptied(ConnectionId connection) = 0;
};

class Exchange final : private app::RequestBody, private app::Responder {
 public:
  Exchange(app::Application& application, base::Slot& slot, ExchangeHost& host)
      : application_(&application), slot_(&slot), host_(&host) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Has the application answer the request that is inside, accounts for it, and sets the
  // connection's outcome().
  void run(Connection& connection);

  // ---- the parts of run(), for worker classes with many requests inside on one thread ----
  // Begins with the connection's request, which is inside.
  void begin(Connection& connection);
  // Has the application answer it in a call; otherwise it does so through responder().
  void answer();
  [[nodiscard]] app::Responder& responder() { return *this; }
  [[nodiscard]] const app::Responder& responder() const { return *this; }
  // The application has left: fails what it hasn't finished, and accounts for it.
  void end(base::TimePoint started, base::TimePoint ended);
  // Answered with a 5xx status, not properly, or by the engine for want of time: known after end().
  [[nodiscard]] bool failed() const { return status_ >= 500 || application_failed_ || cut_off_; }
  // The connection now speaks another protocol, `head` having been sent: it isn't kept.
  void switch_protocol(std::string_view head, int status);
  // Sends bytes of that protocol. A client that has gone is seen by the connection.
  void send_raw(std::string_view first, std::string_view second) {
    static_cast<void>(transmit(first, second, {}));
  }

 private:
  // app::RequestBody
  base::Result<std::size_t> read(char* to, std::size_t size) override;
  [[nodiscard]] std::optional<http::ProtocolError> problem() const override;
  [[nodiscard]] bool readable() const override;
  [[nodiscard]] bool whole() const override;
  [[nodiscard]] std::uint64_t available() const override;

  // app::Responder
  base::Status start(std::string_view status, std::span<const http::Field> fields) override;
  base::Status write(std::string_view bytes, bool last) override;
  [[nodiscard]] bool may_wait() const override;
  base::Status send_file(int fd, off_t offset, std::uint64_t length) override;
  [[nodiscard]] bool head_sent() const override { return head_sent_; }
  base::Status early_hints(std::span<const http::Field> fields) override;
  [[nodiscard]] std::span<const std::string> wanted_variables() const override;
  void log_variable(std::size_t index, std::string_view value) override;
  base::Status hand_over() override;
  void finish() override;
  void fail() override;
  void refuse(const http::ProtocolError& error) override;

  [[nodiscard]] http::ResponseContext context();
  std::string_view date();
  void keep_fields(std::string_view status, std::span<const http::Field> fields);
  base::Status start_with_size(std::uint64_t body_size);
  // Puts the head before what is sent next, if it isn't out.
  base::Status begin_body(std::optional<std::uint64_t> body_size);
  // Ends the response's framing into `out`.
  void end_body(std::string& out);
  base::Status transmit(std::string_view first, std::string_view second, std::string_view third);
  void note_cut_off();
  void account(base::TimePoint started, base::TimePoint ended);
  // Bytes of the answer's body, as the access log has them.
  [[nodiscard]] std::uint64_t logged_bytes() const;

  app::Application* const application_;
  base::Slot* const slot_;
  ExchangeHost* const host_;
  http::DateCache date_;

  // Of the request inside.
  Connection* connection_ = nullptr;
  std::optional<app::Request> request_;  // while the application is in a call
  http::ResponseEncoder encoder_;
  bool started_ = false;  // start() has succeeded
  bool head_sent_ = false;
  bool ended_ = false;   // the body's end is sent, or never will be
  bool failed_ = false;  // the connection can't be kept: one of the below, or the client has gone
  bool application_failed_ = false;  // by fail(), a body that is too short, or half an answer
  bool cut_off_ = false;             // the engine has answered meanwhile, or broken the answer off
  int status_ = 0;
  std::uint64_t page_bytes_ = 0;  // body of the engine's own answer
  std::string head_;              // as encoded by start()
  std::string trial_;
  std::string out_;
  std::string tail_;
  // A copy of what start() was given, while the head still depends on the body's size.
  std::string kept_text_;
  std::vector<http::Field> kept_fields_;
  std::string_view kept_status_;
  std::vector<std::string> variables_;  // for the access log; empty where it wants none
};

}  // namespace corn::server
