// SPDX-License-Identifier: Apache-2.0
// Listening sockets. They belong to arbiterd and are passed to workers at spawn; arbiterd itself
// never accepts on them. Each is CLOEXEC and non-blocking.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/os/bind_address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"

namespace corn::os {

struct FileOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct ListenOptions {
  int backlog = 2048;
  bool reuse_port = false;         // SO_REUSEPORT
  mode_t umask = 0;                // of a unix socket's file: its mode is 0777 without these bits
  std::optional<FileOwner> owner;  // of a unix socket's file; nullopt: the process
};

// One listening socket. Movable; its end closes the descriptor and removes the file of a unix
// socket that was created here, if the file is still the one created. (A socket in the hands of
// workers goes on serving after that, to clients that have connected.)
class Listener {
 public:
  // Binds and listens, or takes over an inherited descriptor after checking that it is a listening
  // stream socket. The file of a unix socket that nobody listens on is replaced; one that answers
  // is an error, and so is a file of another kind. Failures read like
  //   cannot listen on 127.0.0.1:8000: Address already in use; the port is held by 4711 (nginx:
  //   master process)
  static base::Result<Listener> open(const BindAddress& address, const ListenOptions& options);

  // What a successor of this process needs besides the descriptor to go on with the socket.
  struct FileIdentity {
    dev_t device = 0;
    ino_t inode = 0;
  };

  // Takes over a socket that an earlier arbiter opened for `address`; `file` if it had created one.
  // The caller has seen to it that it is that socket.
  static base::Result<Listener> adopt(const BindAddress& address, base::UniqueFd socket,
                                      std::optional<FileIdentity> file);

  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  [[nodiscard]] int descriptor() const { return socket_.get(); }

  // The unix socket's file created for this listener, if any.
  [[nodiscard]] const std::optional<FileIdentity>& file() const { return file_; }

  // As asked for: port 0 stays 0 here. Compare it to keep a listener across a reload.
  [[nodiscard]] const BindAddress& address() const { return address_; }

  // As bound: with the real port. `info().url` is what people are shown.
  [[nodiscard]] const base::ListenerInfo& info() const { return info_; }

  // True for the socket that `address` names, however it came to be open: the same descriptor,
  // path, or numeric address and port.
  [[nodiscard]] bool is_at(const BindAddress& address) const;

  // Removes a unix socket's file now, as the destructor would; new clients are refused from here on
  // while accepted and queued ones are still served.
  void remove_file();

 private:
  Listener() = default;
  base::Status open_tcp(const ListenOptions& options);
  base::Status open_unix(const ListenOptions& options);
  base::Status take_descriptor();
  base::Status describe();

  BindAddress address_;
  base::UniqueFd socket_;
  base::ListenerInfo info_;
  // The unix socket's file created here, until it is removed. The open socket holds the inode, so
  // that its number is not given to a successor of the file.
  std::optional<FileIdentity> file_;
};

// The number by which the kernel knows a socket, whoever holds it by whatever descriptor; 0: it
// isn't open.
std::uint64_t socket_inode(int descriptor);

// Listening sockets passed by systemd socket activation (sd_listen_fds(3)): descriptors 3 and up if
// LISTEN_PID is this process. Sets them CLOEXEC and unsets LISTEN_PID, LISTEN_FDS and
// LISTEN_FDNAMES, so that children don't take them for theirs. Call it in main() before threads
// exist.
base::Result<std::vector<BindAddress>> take_activation_sockets();

}  // namespace corn::os
