// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::control {

// A listening unix socket in the file system, mode 0600 from its first moment.
class ControlSocket {
 public:
  // Replaces a socket that nobody listens on; fails for one that answers, for any other kind of
  // file, and where the directory is missing or closed to us. The caller sees to it that nobody
  // else does the same now.
  static base::Result<ControlSocket> listen(const std::string& path);

  ControlSocket(ControlSocket&& other) noexcept;
  ControlSocket& operator=(ControlSocket&&) = delete;
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  // Closes the socket, and removes the path if it's still this socket's: another arbiter may have
  // made its own there since.
  ~ControlSocket();

  [[nodiscard]] int descriptor() const { return socket_.get(); }

 private:
  ControlSocket(std::string path, base::UniqueFd socket, dev_t device, ino_t inode);

  std::string path_;
  base::UniqueFd socket_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace corn::control
