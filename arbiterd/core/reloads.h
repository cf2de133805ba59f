// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "arbiterd/core/pool_set.h"

namespace corn::core {

// Reloads, from the wish to the reply:
//
//   asked --> loading (the driver reads the settings) --> rolling (each pool has a generation on
//   trial)
//             |                                           |
//             settings unreadable: failed                 all committed: finishing (old workers
//             end)
//                                                         one failed: failed
//
// Pools roll out by themselves: one whose new code can't boot goes on with its old generation, the
// others commit, and the reload as a whole has failed. Pools that the settings no longer have
// retire only when all others have succeeded.
//
// There is one reload at a time; a later one supersedes. Asked while the settings are being read:
// they are read again afterwards (the change may have come too late for the first reading). Asked
// while rolling: the settings are read, and if they can be, generations on trial are abandoned for
// new ones; what the earlier reload had still to do is then the later one's, and who waited for the
// earlier waits for the later. So a reload that hangs in boot needs no patience: mend the
// code and reload again.
class Reloads {
 public:
  // `pools` outlives this.
  explicit Reloads(PoolSet& pools) : pools_(pools) {}

  // Reload one pool; an empty name: all. Unknown pools are answered at once.
  void ask(CommandId id, const std::string& pool, Turn& turn);
  void settings_loaded(const std::vector<PoolSpec>& specs, Turn& turn);
  void settings_failed(const std::string& text, Turn& turn);

  // After every event, when the pools are balanced: progress, ends and replies.
  void settle(Turn& turn);

  // Dormancy or shutdown: whoever waits is answered, and an answer to LoadSettings that is still to
  // come is ignored.
  void cancel(ReplyCode code, const std::string& text, Turn& turn);

  // Settings are being read, or generations are on trial.
  [[nodiscard]] bool running() const { return loading_.has_value() || rolling_.has_value(); }
  [[nodiscard]] std::uint64_t succeeded() const { return succeeded_; }
  // An earlier arbiter of this instance has done so many.
  void count_earlier(std::uint64_t count) { succeeded_ += count; }
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Request {
    std::vector<CommandId> waiters;
    std::set<std::string> scope;  // pools; meaningless if `all`
    bool all = false;
    void merge(const Request& other);
    [[nodiscard]] bool covers(const std::string& pool) const { return all || scope.contains(pool); }
  };
  struct Rolling {
    Request request;
    std::set<std::string> pools;                   // not settled yet
    std::set<std::string> removed;                 // gone from the settings
    std::map<std::string, std::string> successes;  // per pool, for people
    std::vector<std::string> failures;
    std::vector<WorkerId> leaving;
    std::uint32_t reported_ready = 0;
  };
  struct Finishing {
    std::vector<CommandId> waiters;
    std::vector<WorkerId> leaving;
    std::string text;
  };

  static void answer(const std::vector<CommandId>& waiters, ReplyCode code, const std::string& text,
                     Turn& turn);
  // An answer to LoadSettings came; true: the settings are read again before anything is done.
  bool read_again(Turn& turn);
  static void fail(const Request& request, const std::string& text, Turn& turn);
  void report_progress(Turn& turn);
  void finish_rolling(Turn& turn);

  PoolSet& pools_;
  bool load_outstanding_ = false;   // LoadSettings was ordered and not answered
  std::optional<Request> loading_;  // what that answer is for; none: cancelled
  std::optional<Request> queued_;   // asked meanwhile
  std::optional<Rolling> rolling_;
  std::vector<Finishing> finishing_;
  std::uint64_t succeeded_ = 0;
};

}  // namespace corn::core
