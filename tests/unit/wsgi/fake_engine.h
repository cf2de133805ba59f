// SPDX-License-Identifier: Apache-2.0
// Stands in for the engine: a request made of text, and a responder that remembers what it was
// told.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "workerd/app/application.h"

namespace corn::testing {

// A body that arrives in the given pieces, then ends or breaks.
class FakeBody final : public app::RequestBody {
 public:
  base::Result<std::size_t> read(char* to, std::size_t size) override {
    ++reads;
    if (pieces.empty()) {
      if (breaks) return base::fail("the client went away", ECONNRESET);
      return std::size_t{0};
    }
    std::string& piece = pieces.front();
    const std::size_t n = std::min(size, piece.size());
    piece.copy(to, n);
    piece.erase(0, n);
    if (piece.empty()) pieces.pop_front();
    return n;
  }
  [[nodiscard]] std::optional<http::ProtocolError> problem() const override {
    return breaks ? std::optional(http::ProtocolError{400, "the client went away"}) : std::nullopt;
  }
  [[nodiscard]] bool readable() const override { return !slow; }
  [[nodiscard]] bool whole() const override { return is_whole; }
  [[nodiscard]] std::uint64_t available() const override {
    std::uint64_t sum = 0;
    for (const auto& piece : pieces) sum += piece.size();
    return sum;
  }

  std::deque<std::string> pieces;
  bool breaks = false;
  bool slow = false;
  bool is_whole = false;
  int reads = 0;
};

class FakeResponder final : public app::Responder {
 public:
  base::Status start(std::string_view status_line, std::span<const http::Field> fields) override {
    if (sent) return base::fail("the head is out");
    for (const auto& field : fields) {
      if (field.value.find_first_of("\r\n") != std::string_view::npos) {
        return base::fail("field '" + std::string(field.name) + "' has control characters");
      }
    }
    status = status_line;
    headers.clear();
    for (const auto& field : fields) headers.emplace_back(field.name, field.value);
    return {};
  }
  base::Status write(std::string_view bytes, bool last) override {
    if (gone_after >= 0 && static_cast<int>(writes.size()) >= gone_after) {
      return base::fail("the client has gone", EPIPE);
    }
    sent = true;
    ended = last;
    writes.emplace_back(bytes);
    if (body().size() > limit) return base::fail("past Content-Length", EMSGSIZE);
    return {};
  }
  [[nodiscard]] bool may_wait() const override { return waits; }
  base::Status send_file(int fd, off_t offset, std::uint64_t length) override {
    std::string bytes(length, '\0');
    const ssize_t n = ::pread(fd, bytes.data(), bytes.size(), offset);
    bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    ++files;
    if (file_error != 0) return base::fail("the file is shorter than announced", file_error);
    return write(bytes, false);
  }
  [[nodiscard]] bool head_sent() const override { return sent; }
  base::Status early_hints(std::span<const http::Field> fields) override {
    for (const auto& field : fields) hints.emplace_back(field.name, field.value);
    return {};
  }
  [[nodiscard]] std::span<const std::string> wanted_variables() const override { return wanted; }
  void log_variable(std::size_t index, std::string_view value) override {
    variables.resize(wanted.size());
    variables[index] = value;
  }
  base::Status hand_over() override {
    ++handed_over;
    return {};
  }
  void finish() override { ++finished; }
  void fail() override { ++failed; }
  void refuse(const http::ProtocolError& error) override { refused_with = error.status; }

  [[nodiscard]] std::string body() const {
    std::string all;
    for (const auto& piece : writes) all += piece;
    return all;
  }

  std::string status;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, std::string>> hints;
  std::vector<std::string> writes;
  std::vector<std::string> wanted;     // for the access log
  std::vector<std::string> variables;  // what came of them
  bool sent = false;
  bool ended = false;
  bool waits = false;
  int handed_over = 0;
  int finished = 0;
  int failed = 0;
  int refused_with = 0;  // a status
  int files = 0;
  int file_error = 0;   // what send_file() fails with
  int gone_after = -1;  // writes taken before the client is gone; -1: never
  std::size_t limit = std::string::npos;
};

// A request that owns what its views point to.
struct FakeRequest {
  FakeRequest(std::string method_, std::string target_,
              std::vector<std::pair<std::string, std::string>> headers_ = {})
      : method(std::move(method_)), target(std::move(target_)), headers(std::move(headers_)) {
    listener.host = "127.0.0.1";
    listener.port = 8000;
    connection.remote_host = "192.0.2.7";
    connection.remote_port = 40000;
    connection.listener = &listener;
    head.method = method;
    head.target = target;
    const std::string_view all = target;
    const auto mark = all.find('?');
    head.path = all.substr(0, mark);
    if (mark != std::string_view::npos) head.query = all.substr(mark + 1);
    for (const auto& [name, value] : headers) {
      head.fields.push_back({name, value});
      if (name == "Host") head.host = value;
    }
  }

  FakeRequest& with_body(std::deque<std::string> pieces) {
    body.pieces = std::move(pieces);
    head.framing = http::BodyFraming::kChunked;
    return *this;
  }

  void answer(app::Application& application, FakeResponder& responder) {
    app::Request request{head, connection, scheme, body};
    application.handle(request, responder);
  }

  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string scheme = "http";
  base::ListenerInfo listener;
  app::ConnectionInfo connection;
  http::RequestHead head;
  FakeBody body;
};

}  // namespace corn::testing
