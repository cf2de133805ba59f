// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/peers.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <sys/stat.h>

#include <charconv>
#include <utility>

namespace corn::control {
namespace {

constexpr std::size_t kMostConnections = 256;

// Descriptors for connections are taken from here on, in rotation; below the soft limit of 1024
// that most systems start a process with.
constexpr int kFirstNumber = 256;
constexpr int kLastNumber = 960;

ino_t inode_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

bool Peers::adopt(grpc::Server& server, base::UniqueFd connection, uid_t uid) {
  if (peers_.size() >= kMostConnections) forget_closed();
  if (peers_.size() >= kMostConnections) return false;

  if (next_minimum_ < kFirstNumber || next_minimum_ > kLastNumber) next_minimum_ = kFirstNumber;
  // Where the limit of descriptors is lower, any number must do.
  base::UniqueFd numbered(::fcntl(connection.get(), F_DUPFD_CLOEXEC, next_minimum_));
  if (!numbered) numbered = std::move(connection);
  next_minimum_ = numbered.get() + 1;

  peers_[numbered.get()] = Peer{uid, inode_of(numbered.get())};
  grpc::AddInsecureChannelFromFd(&server, numbered.release());
  return true;
}

std::optional<uid_t> Peers::uid_of(std::string_view peer) const {
  constexpr std::string_view kPrefix = "fd:";
  if (!peer.starts_with(kPrefix)) return std::nullopt;
  peer.remove_prefix(kPrefix.size());
  int number = -1;
  const auto [end, error] = std::from_chars(peer.data(), peer.data() + peer.size(), number);
  if (error != std::errc() || end != peer.data() + peer.size()) return std::nullopt;
  const auto found = peers_.find(number);
  if (found == peers_.end()) return std::nullopt;
  return found->second.uid;
}

void Peers::forget_closed() {
  std::erase_if(peers_,
                [](const auto& entry) { return inode_of(entry.first) != entry.second.inode; });
}

}  // namespace corn::control
