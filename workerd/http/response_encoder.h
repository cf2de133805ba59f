// SPDX-License-Identifier: Apache-2.0
// Decides how a response is framed, writes its head, and puts the framing around its body.
// Everything is appended to a string of the caller's, so that head and small body leave in one
// write(2).
//
// Framing, first rule that fits (RFC 9112 section 6.3, RFC 9110 sections 8.6, 9.3.2 and 15):
//   1. HEAD, 101, 204, 304: no body, whatever the application sends. Its Content-Length stays for
//      HEAD and 304 and goes for 101 and 204; for HEAD a body known to the caller is announced
//      as for GET.
//   2. 205: no body; Content-Length: 0.
//   3. The application set Transfer-Encoding: chunked and the client speaks HTTP/1.1: chunked. A
//      Content-Length beside it goes.
//   4. The application set Content-Length: that many bytes. What is sent beyond is cut off; too few
//      end the connection.
//   5. The caller knows the whole body's size: Content-Length is added.
//   6. The client speaks HTTP/1.1: chunked.
//   7. Otherwise the end of the connection ends the body.
//
// Fields: hop-by-hop ones of the application are dropped (its `Connection: close` is obeyed).
// `Server` and `Date` are added unless set. `Connection: close` is added when the connection ends
// after this response, `Connection: keep-alive` when an HTTP/1.0 client is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "workerd/http/field.h"
#include "workerd/http/request_head.h"

namespace corn::http {

// What the application says.
struct ResponseHead {
  std::string_view status_line;   // "200 OK": code, space, phrase; the phrase may be empty
  std::span<const Field> fields;  // in the order to be sent; repeated names stay repeated
};

// What of the request decides about its response.
struct ResponseContext {
  bool head_method = false;  // HEAD
  bool http_1_1 = true;      // the client understands HTTP/1.1
  bool keep_alive = false;   // both sides are ready for another request

  static ResponseContext from(const RequestHead& request, bool keep_alive) {
    return {request.method == "HEAD", request.at_least_1_1(), keep_alive};
  }
};

enum class ResponseFraming : std::uint8_t { kNoBody, kLength, kChunked, kUntilClose };

// Whether `head` can be sent at all: what start() checks, without sending it.
base::Status check_response_head(const ResponseHead& head);

// One response. start(), then any number of append() or open_frame()/close_frame(), then finish().
class ResponseEncoder {
 public:
  ResponseEncoder() = default;
  explicit ResponseEncoder(const ResponseContext& context) : context_(context) {}

  // Writes status line and fields. `body_size`: size of the whole body where the caller knows it
  // before the head is written. `date`: see DateCache. Fails, and has appended nothing, when the
  // application's status, a name, a value or its Content-Length is malformed (CR, LF, NUL and other
  // control characters: injection); the encoder may then be started again with another head.
  base::Status start(const ResponseHead& head, std::optional<std::uint64_t> body_size,
                     std::string_view date, std::string& out);

  // Appends `data` with its framing; no bytes at all for empty data.
  void append(std::string_view data, std::string& out);

  // For data that the caller sends itself (writev, sendfile): opens a frame of `size` bytes and
  // returns how many of them are to be sent, fewer where the body is cut, none where there is no
  // body. close_frame() follows, after the data, if the returned number is not 0.
  std::uint64_t open_frame(std::uint64_t size, std::string& out);
  void close_frame(std::string& out);

  // Ends the body. An error says that fewer bytes were sent than announced: the connection must be
  // closed, as keep_alive() then says, so that the client sees a broken response and not a wrong
  // one.
  base::Status finish(std::string& out);

  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] ResponseFraming framing() const { return framing_; }
  [[nodiscard]] int status() const { return status_; }  // 0 before start()
  // Whether another request may follow on the connection. Final after finish().
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }
  // kLength: bytes still to come. Otherwise nullopt.
  [[nodiscard]] std::optional<std::uint64_t> remaining() const;
  // Bytes of body sent, without framing.
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }
  // Bytes of body cut off, or given where there is no body.
  [[nodiscard]] std::uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  ResponseContext context_;
  ResponseFraming framing_ = ResponseFraming::kNoBody;
  bool started_ = false;
  bool finished_ = false;
  bool keep_alive_ = false;
  int status_ = 0;
  std::uint64_t remaining_ = 0;  // kLength
  std::uint64_t body_bytes_ = 0;
  std::uint64_t dropped_bytes_ = 0;
};

// The interim response that makes a client with `Expect: 100-continue` send its body.
inline constexpr std::string_view kContinueResponse = "HTTP/1.1 100 Continue\r\n\r\n";

// Appends an interim response such as "103 Early Hints"; only for HTTP/1.1 clients and before the
// final head. Fails, having appended nothing, for a status that isn't 1xx or is 101, and for
// malformed fields.
base::Status append_interim_response(const ResponseHead& head, std::string& out);

}  // namespace corn::http
