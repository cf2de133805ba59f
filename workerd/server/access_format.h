// SPDX-License-Identifier: Apache-2.0
// gunicorn's access log format, `%(h)s %(l)s ... "%(r)s"`, compiled once into pieces.
//
// Atoms: h l u t r m U q H s st B b f a T D M L p, {name}i (request field), {name}o (response
// field). {name}e, an environ variable, is known to the application's runtime alone and written
// "-", as is an atom nobody knows. Whatever a client has sent is escaped (\xNN, \" and \\), so that
// it can't forge a line or a field.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "workerd/http/request_head.h"

namespace corn::server {

inline constexpr std::string_view kDefaultAccessFormat =
    R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s")";

// One request, answered. Views are valid during the call that takes it.
struct AccessRecord {
  const http::RequestHead* head = nullptr;  // null: the request was not understood
  std::string_view remote_host;             // "" for a unix socket's client
  int status = 0;
  std::string_view response_head;  // as sent; may be empty
  std::uint64_t body_bytes = 0;    // of the response
  base::Duration duration{};       // inside the application
};

// Constant after compile().
class AccessFormat {
 public:
  // Fails when the text isn't a format: a '%' that neither doubles itself nor starts "%(name)s".
  static base::Result<AccessFormat> compile(std::string_view format);

  // Appends one line with its end. `time` is the text of %(t)s.
  void append(const AccessRecord& record, std::string_view time, std::string& out) const;

 private:
  enum class Atom : std::uint8_t {
    kLiteral,
    kRemoteHost,
    kUser,
    kTime,
    kRequestLine,
    kMethod,
    kPath,
    kQuery,
    kProtocol,
    kStatus,
    kBodyBytes,
    kSeconds,
    kMicroseconds,
    kMilliseconds,
    kDecimalSeconds,
    kProcess,
    kRequestField,
    kResponseField,
  };
  struct Piece {
    Atom atom = Atom::kLiteral;
    std::string text;  // the literal, or a field's name
  };
  static Piece piece_for(std::string_view name);
  static void append_piece(const Piece& piece, const AccessRecord& record, std::string_view time,
                           std::string& out);

  std::vector<Piece> pieces_;
};

// Appends `text` so that it stays within a quoted field of one line.
void append_escaped(std::string_view text, std::string& out);

}  // namespace corn::server
