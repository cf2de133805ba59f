// SPDX-License-Identifier: Apache-2.0
// Replacing the arbiter's program in its own process: first the program on disk is run to find out
// whether it could go on from here, then execve(2) puts it in place of this one. Process id,
// children, sockets and the instance's lock stay.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arbiterd/driver/errand.h"
#include "arbiterd/driver/estate.h"
#include "base/result.h"

namespace corn::driver {

// How this process was started, so that it can be started so again.
struct StartedAs {
  std::string program;                   // argv[0]
  std::vector<std::string> arguments;    // those after it
  std::vector<std::string> environment;  // "NAME=VALUE", all of it
  std::string working_directory;
  std::vector<int> descriptors;  // to be left open for the next program; named in the environment
};

// Where the program is now: argv[0] itself if it is a path, else what PATH says. Looked up anew
// each time, since a new version may have taken the old one's place.
base::Result<std::string> find_program(const StartedAs& started);

// Tells one state of the program on disk from another: other contents or another file have another
// mark. Empty: there is none.
std::string mark_of_program(const StartedAs& started);

// Runs the program on disk with `state`, which it only reads, and with this arbiter's settings.
// `done` is called from the loop, never from within: with the program's version, or why it can't
// take over.
void check_upgrade(const ErrandContext& context, const StartedAs& started,
                   const InstanceState& state, std::function<void(base::Result<std::string>)> done);

// Becomes the program on disk, which goes on with `state`; every descriptor named in it stays open.
// `checked`: its mark when it was checked; another one is a failure. Comes back only on failure,
// with this process as it was.
base::Error exec_upgrade(const StartedAs& started, const InstanceState& state,
                         const std::string& checked);

}  // namespace corn::driver
