// SPDX-License-Identifier: Apache-2.0
// Starts programs. A child is made by clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD): it borrows the
// parent's memory and stops the calling thread until it has exec'd or failed, so that the cost
// doesn't grow with the parent's size, and whatever other threads hold (allocator locks, gRPC's) is
// never needed: the child makes system calls only.
//
// A child begins with every signal at its default and unblocked, and with no descriptor but 0, 1, 2
// and those listed. It outlives its parent (no PR_SET_PDEATHSIG).
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arbiterd/os/users.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

// The child's descriptor `target` is a copy of the parent's `source`.
struct DescriptorMapping {
  int source = -1;
  int target = -1;
  bool operator==(const DescriptorMapping&) const = default;
};

struct ResourceLimit {
  int resource = 0;  // RLIMIT_NOFILE, ...
  rlimit limit{};
};

struct LaunchSpec {
  std::string program;  // path; PATH is not searched
  // The open file (O_PATH will do) that is executed in place of what `program` names by now; no
  // script, whose interpreter couldn't open it. -1: by the path. Not owned.
  int program_file = -1;
  std::vector<std::string> argv;         // argv[0] included
  std::vector<std::string> environment;  // "NAME=VALUE"; the parent's own is not inherited
  // Sources and targets may overlap in any way; a target may appear once. 0, 1 and 2 are the
  // parent's unless they are targets.
  std::vector<DescriptorMapping> descriptors;
  std::optional<Identity> identity;  // nullopt: the parent's
  std::optional<mode_t> umask;
  // Entered before the identity changes, as gunicorn does: the directory need only be reachable for
  // the parent. Empty: the parent's.
  std::string working_directory;
  bool own_process_group = true;  // setpgid(0, 0): a terminal's Ctrl-C doesn't reach the child
  std::vector<ResourceLimit> limits;
  std::optional<int> oom_score_adjustment;  // -1000 to 1000, proc(5) oom_score_adj
};

struct Child {
  pid_t pid = -1;
  base::UniqueFd pidfd;
};

// Tests put a recording one in its place.
class ProcessLauncher {
 public:
  virtual ~ProcessLauncher() = default;

  // On success the program is running: exec has succeeded. On failure nothing is left, not even a
  // zombie, and the message names the step and its object, such as
  //   exec /usr/libexec/corn/workerd: Permission denied
  //   setuid 33 (user www-data): Operation not permitted
  // One thread at a time.
  virtual base::Result<Child> launch(const LaunchSpec& spec) = 0;
};

class CloneLauncher final : public ProcessLauncher {
 public:
  CloneLauncher();
  ~CloneLauncher() override;
  CloneLauncher(const CloneLauncher&) = delete;
  CloneLauncher& operator=(const CloneLauncher&) = delete;

  base::Result<Child> launch(const LaunchSpec& spec) override;

 private:
  void* stack_ = nullptr;  // mapping used as the child's stack until exec, with a guard page
};

}  // namespace corn::os
