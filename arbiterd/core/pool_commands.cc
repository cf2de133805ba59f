// SPDX-License-Identifier: Apache-2.0
// Commands on one pool or one of its workers.
#include <fmt/core.h>

#include "arbiterd/core/pool.h"

namespace corn::core {
namespace {

std::string name_for_people(const Worker& worker) {
  return worker.pid != 0 ? fmt::format("worker {}", worker.pid) : "the worker";
}

}  // namespace

void Pool::scale(CommandId id, std::uint32_t after, bool wake, Turn& turn) {
  const std::uint32_t before = target_;
  target_ = after;
  if (rollout_) rollout_->target_from_settings = false;
  if (after != before) {
    publish(RecordKind::kScaled, nullptr, fmt::format("{} -> {}", before, after), turn);
  }
  if (id.value != 0) turn.order(Accepted{id, before, after});
  waiters_.target_changed(after, turn);
  if (wake && dormant_) {
    dormant_ = false;
    vacancies_.clear();
  }
  const bool wants_new = wants_workers() && count_ready() < after;

  std::vector<WorkerId> leaving;
  for (const auto& [worker_id, worker] : workers_) {
    if (worker.staying()) leaving.push_back(worker_id);
  }
  balance(turn);
  std::erase_if(leaving, [this](WorkerId worker_id) { return find(worker_id)->staying(); });
  waiters_.add(Waiter{id, true, before, after, wants_workers() ? after : 0, wants_new,
                      std::move(leaving), fmt::format("{}: {} -> {}", name_, before, after)});
}

void Pool::restart_worker(CommandId id, Worker& worker, Turn& turn) {
  const std::string reason = "restart asked for by the operator";
  const bool staying = worker.staying();
  switch (worker.state) {
    case WorkerState::kBooting:
      vacate(worker, Cause::kKilledByOperator);
      call_off(worker, Cause::kKilledByOperator, reason, turn);
      break;
    case WorkerState::kReady:
      if (!worker.wish) wish_to_retire(worker, Cause::kKilledByOperator, reason, turn);
      worker.wish_order = 0;  // before those that asked by themselves
      break;
    case WorkerState::kDraining:
    case WorkerState::kStopping:
      break;
  }
  wait_for_end(id, worker, staying, "was replaced");
}

void Pool::kill_worker(CommandId id, Worker& worker, Turn& turn) {
  const bool staying = worker.staying();
  if (staying) vacate(worker, Cause::kKilledByOperator);
  put_down(worker, KillSignal::kKill, Cause::kKilledByOperator, "killed by the operator", turn);
  wait_for_end(id, worker, staying, "was killed and replaced");
}

void Pool::wait_for_end(CommandId id, const Worker& worker, bool was_staying,
                        const std::string& done) {
  const bool replaced = was_staying && wants_workers();
  Waiter waiter;
  waiter.id = id;
  waiter.ready = replaced ? target_ : 0;
  waiter.wants_new = replaced;
  waiter.leaving = {worker.id};
  waiter.done = name_for_people(worker) + " " + (replaced ? done : "has ended");
  waiters_.add(std::move(waiter));
}

}  // namespace corn::core
