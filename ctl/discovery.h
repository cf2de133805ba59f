// SPDX-License-Identifier: Apache-2.0
// Which arbiters run on this machine, and where they are reached: RUNTIME_DIRECTORY/INSTANCE.sock,
// in the runtime directories that arbiterd uses.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "ctl/outcome.h"
#include "ctl/session.h"

namespace corn::ctl {

struct Instance {
  std::string name;
  std::string path;      // of its control socket
  bool allowed = false;  // false: it belongs to somebody else
};

// A connection to an arbiter that accepts it.
struct Connection {
  base::UniqueFd socket;  // non-blocking
  std::string path;
};

// $XDG_RUNTIME_DIR/corn, /run/corn, /tmp/corn-UID: those that exist and belong to this user or root
// (others might have put anything there).
std::vector<std::string> runtime_directories();

// Instances that answer, or would if we were allowed, by name. Sockets nobody listens on are left
// out.
std::vector<Instance> running_instances();

// The path of `address`: "unix:PATH", or a path as it is.
Expected<std::string> socket_path(std::string_view address);

// Connects within the time limit.
Expected<Connection> connect_to(const std::string& path, std::chrono::duration<double> limit);

// The same, but waits for a moment while an arbiter is about to open its control socket: it starts,
// or is being upgraded in place.
Expected<Connection> connect_patiently(const std::string& path,
                                       std::chrono::duration<double> limit);

// Connects to the arbiter that --control, -i, $CORN_CONTROL or, failing all, there being only one
// running, name. Patiently, too.
Expected<Connection> find_arbiter(const Session& session, std::chrono::duration<double> limit);

}  // namespace corn::ctl
