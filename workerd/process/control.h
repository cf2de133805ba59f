// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/worker_config.h"
#include "workerd/link/link.h"
#include "workerd/server/server.h"

namespace corn::process {

// Standard output and error lead to the error log from now on.
base::Status redirect_output();

// What the link's thread may do with the worker, whatever state that is in.
class Control {
 public:
  // Both outlive it.
  Control(const base::WorkerConfig& config, link::Link& link) : config_(config), link_(link) {}
  ~Control() { link_.stop(); }
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Starts the link's thread.
  base::Status start(base::Milliseconds orphan_timeout, link::Estate estate);

  // Main thread. The server outlives what lies between the two calls.
  void begin_serving(server::Server& server);
  // Exit handlers and threads of the application may take a while, but not for ever.
  void end_serving(int status);

 private:
  enum class State { kBooting, kServing, kEnding };

  void drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last);
  // Threads that hang are not waited for: the process ends under them once all else is done.
  void end_overdue(base::Milliseconds limit, base::Milliseconds grace);
  void quit();
  // Nobody is being served, and the application may take minutes to load.
  void leave_if_booting() const;
  void reopen_logs(link::OpenFiles files);
  // Those that are set of the hooks of a worker's end. Link's thread.
  static void call_hooks(const std::vector<std::string>& names, base::Duration limit);
  void abort();
  void overdue();
  [[nodiscard]] std::string requests() const;

  const base::WorkerConfig& config_;
  link::Link& link_;
  mutable std::mutex mutex_;
  State state_ = State::kBooting;     // guarded by mutex_
  server::Server* server_ = nullptr;  // guarded by mutex_
  // Log files that came before the server could take them; guarded by mutex_.
  std::optional<link::OpenFiles> early_files_;
  std::atomic<bool> only_overdue_left_{false};
};

}  // namespace corn::process
