// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace corn::http {

// Why the peer's bytes are refused. The connection can't be used for another request: where this
// one ends isn't known, or isn't agreed on with whatever stands between client and server.
struct ProtocolError {
  int status = 400;  // the answer's status code
  std::string
      reason;  // one sentence without any of the peer's bytes; for the log and the answer's body
  std::string excerpt =
      {};  // the offending bytes, escaped and cut, for the log alone; may be empty

  // "REASON: EXCERPT", for the log.
  [[nodiscard]] std::string log_text() const;
};

// A refusal whose excerpt shows `bytes`: printable ASCII as it is, the rest as \xNN, at most 64
// bytes.
ProtocolError protocol_error(int status, std::string_view reason, std::string_view bytes = {});

// The phrase registered for a status code ("Bad Request"), or "Unknown".
const char* reason_phrase(int status);

}  // namespace corn::http
