// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/hook_sockets.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "base/unique_fd.h"

namespace corn::process {
namespace {

bool listens(int descriptor) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
         listening != 0;
}

std::set<int> listening_sockets() {
  std::set<int> found;
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return found;
  while (const dirent* entry = ::readdir(directory)) {
    int descriptor = -1;
    const char* name = entry->d_name;
    std::from_chars(name, name + std::strlen(name), descriptor);
    if (descriptor >= 0 && listens(descriptor)) found.insert(descriptor);
  }
  ::closedir(directory);
  return found;
}

}  // namespace

void HookSockets::begin() {
  before_ = listening_sockets();
  begun_ = true;
}

std::vector<int> HookSockets::find() const {
  std::vector<int> found;
  if (!begun_) return found;
  for (const int descriptor : listening_sockets()) {
    if (!before_.contains(descriptor)) found.push_back(descriptor);
  }
  return found;
}

void give_up(const std::vector<int>& sockets) {
  if (sockets.empty()) return;
  const base::UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int descriptor : sockets) {
    // A thread of the template may have closed it in the last moment.
    if (nothing && listens(descriptor)) ::dup3(nothing.get(), descriptor, O_CLOEXEC);
  }
}

}  // namespace corn::process
