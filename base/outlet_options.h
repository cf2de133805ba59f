// SPDX-License-Identifier: Apache-2.0
// Where logs and metrics of a process go beside its files. arbiterd reads these from the settings
// and passes them on to workers.
#pragma once

#include <cstdint>
#include <string>

namespace corn::base {

struct StatsdOptions {
  std::string address;  // "HOST:PORT" or "unix:PATH"; empty: no metrics are sent
  std::string prefix;   // before every name; a '.' in between is added where it is missing
  std::string tags;     // of DogStatsD, "tag1:value1,tag2:value2"; empty: none

  bool operator==(const StatsdOptions&) const = default;
};

struct SyslogOptions {
  bool enabled = false;
  std::string address;        // "udp://HOST:PORT", "tcp://HOST:PORT", "unix://PATH[#dgram|#stream]"
  std::string tag;            // "gunicorn.shop"; ".error" or ".access" follows
  std::uint8_t facility = 1;  // RFC 3164 section 4.1.1; 1: user-level messages
  bool access = true;         // the access log goes there too

  bool operator==(const SyslogOptions&) const = default;
};

template <class Archive>
void fields(Archive& a, StatsdOptions& v) {
  a(v.address), a(v.prefix), a(v.tags);
}

template <class Archive>
void fields(Archive& a, SyslogOptions& v) {
  a(v.enabled), a(v.address), a(v.tag), a(v.facility), a(v.access);
}

}  // namespace corn::base
