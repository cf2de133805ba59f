// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace corn::os {

struct PortHolder {
  pid_t pid = 0;
  std::string title;  // its command line, as ps(1) shows it
};

// The processes that have a listening TCP socket on `port` open, by pid, as far as proc(5) shows
// this user. Reads the descriptors of every process: for a message on the way out.
std::vector<PortHolder> find_port_holders(std::uint16_t port);

// Who holds the port and what to do about it, for a person who wanted it.
std::string describe_port_holders(std::uint16_t port);

}  // namespace corn::os
