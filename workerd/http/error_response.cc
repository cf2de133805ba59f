// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/error_response.h"

namespace corn::http {

void append_error_response(const ProtocolError& error, bool head_method, std::string_view date,
                           std::string& out) {
  const std::string status = std::to_string(error.status) + ' ' + reason_phrase(error.status);
  std::string body = status + '\n';
  if (!error.reason.empty()) body += error.reason + '\n';

  out += "HTTP/1.1 " + status + "\r\nServer: corn\r\nDate: ";
  out += date;
  out += "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ";
  out += std::to_string(body.size());
  out += "\r\nConnection: close\r\n\r\n";
  if (!head_method) out += body;
}

}  // namespace corn::http
