// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/control_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace corn::control {
namespace {

using base::fail;
using base::fail_errno;

constexpr int kBacklog = 128;

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

base::Result<base::UniqueFd> make_socket() {
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("cannot make a control socket", errno);
  return socket;
}

// Removes what an arbiter that was killed has left at the path.
base::Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("cannot make the control socket " + path, errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(
        "cannot make the control socket " + path +
            ": there is a file of another kind; remove it, or name another path with --control",
        EEXIST);
  }
  auto probe = make_socket();
  if (!probe) return tl::unexpected(std::move(probe).error());
  if (::connect(probe->get(), generic(address), sizeof address) == 0 || errno == EAGAIN) {
    return fail(
        "cannot make the control socket " + path +
            ": another process listens on it (find it with: ss -lxp); name another path with "
            "--control",
        EADDRINUSE);
  }
  if (errno != ECONNREFUSED) {
    return fail_errno("cannot tell whether the control socket " + path + " is in use", errno);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno("cannot replace the stale control socket " + path, errno);
  }
  return {};
}

}  // namespace

base::Result<ControlSocket> ControlSocket::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("the control socket's path must have 1 to " +
                    std::to_string(sizeof address.sun_path - 1) + " bytes; " + path + " has " +
                    std::to_string(path.size()),
                ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.data(), path.size());

  if (auto removed = remove_stale(path, address); !removed) {
    return tl::unexpected(std::move(removed).error());
  }
  auto socket = make_socket();
  if (!socket) return tl::unexpected(std::move(socket).error());
  // Linux makes the file with the mode of the socket's inode, less the umask: unlike a chmod after
  // bind this leaves no window, and unlike umask(2) it concerns no other thread.
  if (::fchmod(socket->get(), 0600) != 0) {
    return fail_errno("cannot restrict the control socket", errno);
  }
  if (::bind(socket->get(), generic(address), sizeof address) != 0) {
    return fail_errno("cannot make the control socket " + path, errno);
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    return fail_errno("cannot find the control socket just made, " + path, errno);
  }
  ControlSocket result(path, std::move(*socket), status.st_dev, status.st_ino);
  if (::listen(result.descriptor(), kBacklog) != 0) {
    return fail_errno("cannot listen on the control socket " + path, errno);
  }
  return result;
}

ControlSocket::ControlSocket(std::string path, base::UniqueFd socket, dev_t device, ino_t inode)
    : path_(std::move(path)), socket_(std::move(socket)), device_(device), inode_(inode) {}

ControlSocket::ControlSocket(ControlSocket&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      socket_(std::move(other.socket_)),
      device_(other.device_),
      inode_(other.inode_) {}

ControlSocket::~ControlSocket() {
  if (path_.empty()) return;
  struct stat status {};
  // Compared while the socket is still open: its inode number can't have been given to another
  // file.
  if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

}  // namespace corn::control
