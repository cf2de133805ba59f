// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "arbiterd/core/action.h"

namespace corn::core {

// One call of Supervisor::on_event: the time it happens at, and the orders given so far.
class Turn {
 public:
  explicit Turn(TimePoint now) : now_(now) {}

  [[nodiscard]] TimePoint now() const { return now_; }

  void order(Action action) { actions_.push_back(std::move(action)); }
  void publish(Record record) { actions_.emplace_back(Publish{std::move(record)}); }

  // Nothing for command 0: nobody waits.
  void reply(Reply reply) {
    if (reply.id.value != 0) actions_.emplace_back(std::move(reply));
  }

  [[nodiscard]] Actions take() { return std::move(actions_); }

 private:
  TimePoint now_;
  Actions actions_;
};

}  // namespace corn::core
