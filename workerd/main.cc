// SPDX-License-Identifier: Apache-2.0
// workerd: one child of arbiterd, started with a channel as descriptor 3 that says what it is to
// do.
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>

#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/process/child.h"

namespace corn {
namespace {

constexpr int kExitUsage = 2;

bool is_channel(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

int main(int argc, char** argv) {
  // execveat(2), by which arbiterd runs it, names a process after the descriptor.
  ::prctl(PR_SET_NAME, "workerd");
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("workerd " CORN_VERSION);
    return 0;
  }
  if (argc > 1 || !is_channel(base::kChannelFd)) {
    std::fputs("workerd is started by arbiterd, not by hand: run 'arbiterd module:callable'\n",
               stderr);
    return kExitUsage;
  }
  return process::run_child(base::UniqueFd(base::kChannelFd));
}

}  // namespace
}  // namespace corn

int main(int argc, char** argv) { return corn::main(argc, argv); }
