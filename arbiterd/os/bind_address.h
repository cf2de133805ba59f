// SPDX-License-Identifier: Apache-2.0
// Where to listen, as written in a setting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace corn::os {

struct BindAddress {
  enum class Kind : std::uint8_t {
    kTcp,           // host and port
    kUnix,          // path
    kUnixAbstract,  // path, without the '@'; no file exists
    kDescriptor,    // a listening socket that was inherited
  };
  Kind kind = Kind::kTcp;
  std::string host;        // kTcp: literal address without brackets, or a host name; in lower case
  std::uint16_t port = 0;  // kTcp: 0 lets the kernel choose
  std::string path;        // kUnix, kUnixAbstract
  int descriptor = -1;     // kDescriptor
  bool activated = false;  // kDescriptor: passed by socket activation, whatever `bind` says

  // Equal addresses name the same socket, however they were written; so that a reload can tell
  // which listeners stay.
  bool operator==(const BindAddress&) const = default;

  // "127.0.0.1:8000", "[::1]:8000", "unix:/run/app.sock", "unix:@name", "fd://3".
  [[nodiscard]] std::string text() const;
};

// Reads HOST:PORT, HOST (port 8000), :PORT (every IPv4 address), [ADDRESS]:PORT, tcp://...,
// unix:PATH, unix://PATH, unix:@NAME or fd://N, as gunicorn's `bind` does. The message of a failure
// tells what was written and what is allowed.
base::Result<BindAddress> parse_bind_address(std::string_view text);

}  // namespace corn::os
