// SPDX-License-Identifier: Apache-2.0
// Where workers that have lost their arbiter find the next one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arbiterd/core/types.h"
#include "arbiterd/os/hand_off_queue.h"
#include "arbiterd/os/loop.h"
#include "base/channel.h"
#include "base/result.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"

namespace corn::driver {

// What a worker has handed over.
struct OfferedWorker {
  core::WorkerId id;
  base::Channel channel;
  base::ScoreboardMap scoreboard;
  bool ready = false;
  std::string retiring;
  std::vector<base::UniqueFd> listeners;
  std::shared_ptr<const os::HandOffQueue> hand_off;  // null: it has none
};

// Listens while it exists. Loop thread only.
class AdoptionSocket {
 public:
  // The process `pid` names as worker `id`: whether that is so.
  using IsExpected = std::function<bool(core::WorkerId id, pid_t pid)>;
  using Done = std::function<void(OfferedWorker)>;

  // Replaces what is at `path`; whoever holds the instance's lock may. Anybody who can reach the
  // directory may connect (workers have dropped privileges), and is known by the kernel's word
  // (SO_PEERCRED). `done` is called from the loop.
  static base::Result<std::unique_ptr<AdoptionSocket>> listen(os::EventLoop& loop,
                                                              const std::string& path,
                                                              IsExpected is_expected, Done done);

  // Closes the socket and removes its file.
  ~AdoptionSocket();
  AdoptionSocket(const AdoptionSocket&) = delete;
  AdoptionSocket& operator=(const AdoptionSocket&) = delete;

 private:
  static constexpr std::size_t kMaxPending = 64;  // connections that have not said anything yet

  AdoptionSocket(os::EventLoop& loop, std::string path, base::UniqueFd socket,
                 IsExpected is_expected, Done done);
  void on_connection();
  void on_offer(int descriptor);

  os::EventLoop& loop_;
  const std::string path_;
  base::UniqueFd socket_;
  const IsExpected is_expected_;
  const Done done_;
  struct Pending {
    base::Channel channel;
    pid_t pid = 0;
  };
  std::map<int, Pending> pending_;
};

}  // namespace corn::driver
