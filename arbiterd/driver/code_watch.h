// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "arbiterd/config/sources.h"
#include "arbiterd/driver/timers.h"
#include "arbiterd/os/file_watch.h"

namespace corn::driver {

// The setting `reload`: tells when code has changed, once for all files that are written within a
// short time. Watched are the files that workers say their code comes from (those of code that
// can't be loaded included), the configuration file, and reload_extra_files. Loop thread only.
class CodeWatch {
 public:
  // Nothing is told before this long has passed without another change, ...
  static constexpr base::Duration kQuiet = std::chrono::milliseconds(150);
  // ... but no later than this after the first.
  static constexpr base::Duration kLongestDelay = std::chrono::seconds(2);

  // `what`: the files, for people: "/srv/shop/views.py" or "/srv/shop/views.py and 3 more".
  using Changed = std::function<void(const std::string& what)>;

  // `loop` and `timers` outlive this.
  CodeWatch(os::EventLoop& loop, Timers& timers, Changed changed)
      : loop_(loop), timers_(timers), changed_(std::move(changed)) {}

  // Watches as `settings` say, or no longer.
  void adopt(const config::Settings& settings, const config::Invocation& invocation);

  // A worker's code comes from these.
  void add(const std::vector<std::string>& paths);

 private:
  void open();
  void on_change(const std::string& path);
  void fire();

  os::EventLoop& loop_;
  Timers& timers_;
  const Changed changed_;

  std::vector<std::string> extra_;  // paths and patterns, the configuration file among them
  std::set<std::string> files_;
  std::unique_ptr<os::FileWatch> watch_;  // null: nothing is watched
  std::vector<std::string> changes_;      // not told yet, each once
  base::TimePoint first_change_;
  std::optional<Timers::Id> timer_;
};

}  // namespace corn::driver
