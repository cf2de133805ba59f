// SPDX-License-Identifier: Apache-2.0
// Plays the engine's part without its I/O: takes bytes of a connection in pieces of any size and
// writes down what workerd/http makes of them, in the words of the corpus files (see README.md
// beside this file).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "workerd/http/body_decoder.h"
#include "workerd/http/head_scanner.h"
#include "workerd/http/limits.h"
#include "workerd/http/proxy_protocol.h"
#include "workerd/http/request_head.h"

namespace corn::http {

struct ReplayOptions {
  ParserOptions parser;
  PeerTrust trust = PeerTrust::kUntrusted;
  ProxyProtocolMode proxy = ProxyProtocolMode::kOff;
};

class Replay {
 public:
  // `options` must outlive the replay.
  explicit Replay(const ReplayOptions& options);

  void receive(std::string_view bytes);

  // One line an event. The last line tells how the connection stands: "idle", "closed",
  // "incomplete head", "incomplete body", or it is the "error" that ended it.
  [[nodiscard]] std::string events() const;

 private:
  enum class State { kProxyHeader, kHead, kBody, kClosed, kError };

  // Each returns false when it needs more bytes.
  bool advance();
  bool read_proxy_header();
  bool read_head();
  bool read_body();
  void describe_head();
  void fail(const ProtocolError& error);
  void line(std::string_view word, std::string_view text);

  const ReplayOptions& options_;
  State state_;
  std::string buffer_;  // from the first byte that isn't dealt with
  std::string head_;    // bytes of the head that request_ points into
  HeadScanner scanner_;
  RequestHead request_;
  BodyDecoder decoder_;
  std::string body_;
  std::string events_;
};

// Printable ASCII as it is, backslash doubled, CR, LF and TAB as \r, \n, \t, the rest as \xNN.
std::string escape_bytes(std::string_view bytes);

}  // namespace corn::http
