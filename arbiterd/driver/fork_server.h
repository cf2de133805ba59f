// SPDX-License-Identifier: Apache-2.0
// The arbiter's side of a process that forks children for it and runs hooks (a template, or the
// script): requests in order, one with the process at a time, so that it is known what it is busy
// with and since when.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/os/child_watch.h"
#include "arbiterd/os/loop.h"
#include "base/channel.h"
#include "base/message.h"

namespace corn::driver {

// What became of a request.
struct ForkOutcome {
  pid_t pid = 0;      // a child of this process; 0: there is none
  std::string error;  // a sentence, with the traceback where there is one; empty: done
  // The process ended while the request was with it: the child may be there all the same, and
  // os::ChildWatch::end_expectation() is left to whoever is told this.
  bool uncertain = false;
};

struct ForkRequest {
  using Done = std::function<void(const ForkOutcome&)>;

  std::uint64_t token = 0;   // given by whoever makes it, unique for its fork server
  std::string hook;          // a hook's name; empty: a fork
  std::string arguments;     // of the hook
  bool holds_forks = false;  // forks behind this hook wait for it, however long it takes
  bool bound = false;        // forgotten if the process ends before it was given to it
  base::Fork fork;
  std::vector<int> descriptors;  // of the child; open until `sent` or `done` is called
  std::function<void()> sent;    // it is with the process; may be empty
  Done done;                     // called once, from the loop, unless it is withdrawn
};

// Loop thread only.
class ForkServer {
 public:
  static constexpr std::size_t kMaxWaiting = 8192;

  // `children` outlives it. `begun` is called when a request has been given to the process.
  ForkServer(os::ChildWatch& children, std::function<void()> begun);
  ~ForkServer();
  ForkServer(const ForkServer&) = delete;
  ForkServer& operator=(const ForkServer&) = delete;

  // From here on requests go out over `channel`, which outlives it or end().
  void open(const base::Channel& channel);

  // Fails at once, by `done`, when it has ended or too many wait.
  void add(ForkRequest request);
  // The same, before all that wait; in their order.
  void add_first(std::vector<ForkRequest> requests);
  // True: it was still waiting here and is forgotten, `done` isn't called.
  bool withdraw(std::uint64_t token);
  // Whether no request goes out for a while.
  void hold(bool held);

  // An answer of the process; false: the message is none.
  bool on_message(const base::Message& message);
  // The process has ended, or is given up: the request that was with it fails. Those that wait and
  // aren't bound to it are left to take_waiting().
  void end(const std::string& why);

  [[nodiscard]] std::vector<ForkRequest> take_waiting(bool forks_only);
  [[nodiscard]] bool has_waiting_forks() const;
  // The request that is with the process.
  [[nodiscard]] const std::optional<ForkRequest>& current() const { return current_; }
  // Counts requests given to the process.
  [[nodiscard]] std::uint64_t serial() const { return serial_; }
  [[nodiscard]] bool idle() const { return !current_ && waiting_.empty(); }

 private:
  void give_next();
  void finish(const ForkOutcome& outcome);

  os::ChildWatch& children_;
  const std::function<void()> begun_;
  const base::Channel* channel_ = nullptr;
  bool held_ = false;
  bool ended_ = false;
  std::uint64_t serial_ = 0;
  std::optional<ForkRequest> current_;
  std::deque<ForkRequest> waiting_;
};

}  // namespace corn::driver
