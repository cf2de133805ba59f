// SPDX-License-Identifier: Apache-2.0
// The scoreboard's slots, where many requests are inside at once on one thread. There are fewer
// slots than there may be requests: the oldest have one each, so that the request that has been
// inside for longest is always among those that arbiterd sees. The others are counted. Loop's owner
// only.
#pragma once

#include <cstddef>
#include <list>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/scoreboard.h"

namespace corn::server {

class SlotDesk {
 public:
  // A request inside.
  struct Guest {
    std::string_view method;
    std::string_view target;
    base::TimePoint started;

   private:
    friend class SlotDesk;
    bool inside = false;
    base::Slot* slot = nullptr;
    std::list<Guest*>::iterator place{};  // in the queue; without a slot
  };

  explicit SlotDesk(base::ScoreboardMap& scoreboard) : scoreboard_(scoreboard) {}

  // The calling thread is the one that all requests are on.
  void open();

  // `guest`, filled in, and its texts stay where they are until leave().
  void enter(Guest& guest);
  void leave(Guest& guest, base::TimePoint ended, bool error);

  // Between enter() and leave().
  [[nodiscard]] static bool has(const Guest& guest) { return guest.inside; }
  [[nodiscard]] std::size_t guests() const { return guests_; }

 private:
  void publish_crowd();

  base::ScoreboardMap& scoreboard_;
  std::vector<base::Slot*> free_;
  std::list<Guest*> queue_;  // the oldest first
  std::size_t guests_ = 0;
};

}  // namespace corn::server
