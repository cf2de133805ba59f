// SPDX-License-Identifier: Apache-2.0
// Signals to the arbiter, read from a signalfd in the loop instead of in handlers. Standard signals
// coalesce and have no order (signal(7)): what is pending together comes as one set of levels.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arbiterd/os/loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

// The signals that were pending together.
struct SignalLevels {
  // What to obey, each at most once, in this order: if any of TERM, QUIT, INT is there, only those
  // (the quick ones last, so that they have the last word); else HUP, USR2, USR1, TTIN, TTOU,
  // WINCH.
  std::vector<int> commands;
  bool child_ended = false;  // SIGCHLD
};

// Puts `pending` (signal numbers) into the shape above.
SignalLevels order_signals(const std::vector<int>& pending);

// Blocks the arbiter's signals in the calling thread and ignores SIGPIPE. To be called in main()
// before any thread exists: threads inherit the mask, and one that doesn't block would die of TERM.
base::Status block_arbiter_signals();

// "TERM" for SIGTERM; "signal 42" for a number without a name.
std::string signal_name(int signal);

class SignalSource {
 public:
  using Callback = std::function<void(const SignalLevels& levels)>;
  // kEnding: TERM, QUIT and INT; the others stay pending.
  enum class Which { kAll, kEnding };

  // Blocks the signals as above and delivers them from `loop`, which must outlive this object.
  static base::Result<std::unique_ptr<SignalSource>> create(EventLoop& loop, Callback callback,
                                                            Which which = Which::kAll);
  ~SignalSource();
  SignalSource(const SignalSource&) = delete;
  SignalSource& operator=(const SignalSource&) = delete;

 private:
  SignalSource(EventLoop& loop, base::UniqueFd descriptor, Callback callback);
  void drain();

  EventLoop& loop_;
  const base::UniqueFd descriptor_;
  const Callback callback_;
};

}  // namespace corn::os
