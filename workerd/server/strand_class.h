// SPDX-License-Identifier: Apache-2.0
// Requests inside an application that is called on strands (app/strands.h), as many at once as
// there are connections.
#pragma once

#include <memory>
#include <vector>

#include "workerd/app/strands.h"
#include "workerd/server/exchange.h"
#include "workerd/server/loop_class.h"
#include "workerd/server/slot_desk.h"

namespace corn::server {

class StrandClass final : public LoopClass {
 public:
  StrandClass(app::Strands& strands, base::ScoreboardMap& scoreboard, app::Application& application,
              AnsweredCallback answered);
  ~StrandClass() override;

  void run(Reactor& reactor) override;

 private:
  class Call;

  [[nodiscard]] std::size_t entry_capacity() const override;
  void enter(Connection& connection) override;
  void leave_call(Call& call);

  app::Strands& strands_;
  base::ScoreboardMap& scoreboard_;
  app::Application& application_;
  const AnsweredCallback answered_;
  SlotDesk desk_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<Call*> idle_;
};

}  // namespace corn::server
