// SPDX-License-Identifier: Apache-2.0
// The loop of a process that makes others: it waits on its channel, and obeys one message at a
// time.
#pragma once

#include <functional>
#include <vector>

#include "base/channel.h"
#include "base/message.h"
#include "base/unique_fd.h"
#include "workerd/link/link.h"

namespace corn::process {

struct ForkLoop {
  // Makes the child whose descriptors came with the order. The answer, Forked or ForkFailed, is
  // the callee's.
  std::function<void(const base::Fork& order, std::vector<base::UniqueFd> descriptors)> fork;
  std::function<void(const base::RunHook& order)> run_hook;  // null: there are no hooks
  std::function<void(const link::OpenFiles& files)> reopen_logs;

  // Until Drain or Leave, whose status it gives, or until the channel ends: `orphaned`.
  int run(base::Channel& channel, int orphaned) const;
};

// Sends; that arbiterd has gone is found out by the next receive().
void tell(const base::Channel& channel, const base::Message& message);

}  // namespace corn::process
