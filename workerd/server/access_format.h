// SPDX-License-Identifier: Apache-2.0
// gunicorn's access log format, `%(h)s %(l)s ... "%(r)s"`, compiled once into pieces.
//
// Atoms: h l u t r m U q H s st B b f a T D M L p, {name}i (request field), {name}o (response
// field), {name}e (a variable of the application's environ); field and variable names in any case,
// the last of repeated fields. As in gunicorn an atom that nobody knows is "-", and h and U are
// what the environ says when the request is over, where there is one: middleware may have put a
// proxy's client there. Beside gunicorn's: pid (the number alone) and time (ISO 8601).
//
// Whatever a client or the application has sent is escaped, so that it can't forge a line or a
// field: \xNN, \" and \\ in text; in JSON as JSON has it, so that a format of one's own can be a
// JSON object.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "workerd/http/request_head.h"

namespace corn::server {

inline constexpr std::string_view kDefaultAccessFormat =
    R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s")";

// What stands in for the default in JSON.
inline constexpr std::string_view kJsonAccessFormat =
    R"({"time":"%(time)s","pid":%(pid)s,"remote_addr":"%(h)s","user":"%(u)s","method":"%(m)s",)"
    R"("path":"%(U)s","query":"%(q)s","protocol":"%(H)s","status":%(s)s,"bytes":%(b)s,)"
    R"("referer":"%(f)s","user_agent":"%(a)s","duration":%(L)s})";

// One request, answered. Views are valid during the call that takes it.
struct AccessRecord {
  const http::RequestHead* head = nullptr;  // null: the request was not understood
  std::string_view remote_host;             // "" for a unix socket's client
  int status = 0;
  std::string_view response_head;  // as sent; may be empty
  std::uint64_t body_bytes = 0;    // of the response
  base::Duration duration{};       // inside the application
  // Values of AccessFormat::variables(), or none at all. An empty one is missing.
  std::span<const std::string> variables{};
};

// The moment a line is written, as its formats have it.
struct AccessTime {
  std::string_view common;  // "[10/Oct/2000:13:55:36 -0700]"
  std::string_view iso;     // "2000-10-10T13:55:36-0700"
};

// Constant after compile().
class AccessFormat {
 public:
  enum class Escape : std::uint8_t { kText, kJson };

  // Fails when the text isn't a format: a '%' that neither doubles itself nor starts "%(name)s".
  static base::Result<AccessFormat> compile(std::string_view format, Escape escape = Escape::kText);

  // Names of the environ variables that lines of this format are made of.
  [[nodiscard]] std::span<const std::string> variables() const { return variables_; }

  // Appends one line with its end.
  void append(const AccessRecord& record, const AccessTime& time, std::string& out) const;

 private:
  enum class Atom : std::uint8_t {
    kLiteral,
    kRemoteHost,
    kUser,
    kTime,
    kIsoTime,
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
    kProcessNumber,
    kRequestField,
    kResponseField,
    kVariable,
  };
  struct Piece {
    Atom atom = Atom::kLiteral;
    std::string text;          // the literal, or a field's name
    std::size_t variable = 0;  // kVariable, kRemoteHost, kPath: index in variables_
    std::size_t width = 0;
    bool left = false;
    std::size_t precision = 0;
    bool padded = false;  // width or precision are set
  };
  Piece piece_for(std::string_view name);
  std::size_t add_variable(std::string_view name);
  void append_piece(const Piece& piece, const AccessRecord& record, const AccessTime& time,
                    std::string& out) const;
  void append_user(const http::RequestHead* head, std::string& out) const;
  void append_request_line(const http::RequestHead* head, std::string& out) const;
  void append_or_nothing(std::string_view text, std::string& out) const;
  void append_escaped(std::string_view text, std::string& out) const;

  Escape escape_ = Escape::kText;
  std::vector<Piece> pieces_;
  std::vector<std::string> variables_;
};

}  // namespace corn::server
