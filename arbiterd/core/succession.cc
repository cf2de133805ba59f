// SPDX-License-Identifier: Apache-2.0
// From one arbiter to the next: the new program in the same process (upgrade in place), or a new
// process after the death of the old one (adoption).
#include <algorithm>
#include <utility>

#include "arbiterd/core/state.h"

namespace corn::core {
namespace {

void publish(RecordKind kind, const std::string& text, Turn& turn) {
  Record record;
  record.kind = kind;
  record.text = text;
  turn.publish(std::move(record));
}

}  // namespace

void Supervisor::State::take(const Resume& event, Turn& turn) {
  if (begun_ || stopping_) return;
  begun_ = true;
  started_ = true;
  publish(event.kind, event.text, turn);
  pools_.ids().start_after(event.inheritance.last_worker);
  reloads_.count_earlier(event.inheritance.reloads);
  const std::vector<InheritedPool>& left = event.inheritance.pools;
  for (const PoolSpec& spec : event.pools) {
    Pool& pool = pools_.add(spec.name);
    const auto found = std::ranges::find(left, spec.name, &InheritedPool::name);
    if (found != left.end()) {
      pool.resume(*found, spec, turn);
    } else {
      pool.start(spec, turn);
    }
  }
  for (const InheritedPool& pool : left) {
    if (std::ranges::count(event.pools, pool.name, &PoolSpec::name) > 0) continue;
    pools_.add(pool.name).resume(pool, std::nullopt, turn);
  }
  const bool asleep =
      !pools_.present().empty() && std::ranges::all_of(pools_.present(), &Pool::dormant);
  if ((event.reload && !asleep) || event.inheritance.reloading) reloads_.ask(CommandId{}, "", turn);
}

void Supervisor::State::obey(CommandId id, const UpgradeCommand&, Turn& turn) {
  if (upgrade_) {
    refuse(id, ReplyCode::kFailedPrecondition, {}, "an upgrade is being prepared already", turn);
    return;
  }
  upgrade_ = id;
  turn.order(CheckUpgrade{});
}

void Supervisor::State::take(const UpgradeChecked& event, Turn& turn) {
  if (!upgrade_) return;
  const CommandId id = *std::exchange(upgrade_, {});
  if (stopping_) {
    turn.reply(Reply{id, ReplyCode::kUnavailable, "the arbiter is shutting down"});
    return;
  }
  if (!event.possible) {
    const std::string text = "no upgrade, everything stays as it was: " + event.text;
    publish(RecordKind::kUpgradeFailed, text, turn);
    turn.reply(Reply{id, ReplyCode::kFailedPrecondition, text});
    return;
  }
  publish(RecordKind::kUpgradeStarted, "version " + event.text + " takes over", turn);
  reload_owed_ = reloads_.running();
  reloads_.cancel(ReplyCode::kAborted, "overtaken by an upgrade, which reloads every pool", turn);
  for (Pool* pool : pools_.present()) pool->hand_over(turn);
  // Now: the caller's connection ends with this program.
  turn.reply(Reply{id, ReplyCode::kDone, event.text});
  turn.order(ExecUpgrade{});
}

void Supervisor::State::take(const UpgradeFailed& event, Turn& turn) {
  publish(RecordKind::kUpgradeFailed, "no upgrade, everything stays as it was: " + event.text,
          turn);
  if (std::exchange(reload_owed_, false)) reloads_.ask(CommandId{}, "", turn);
}

Inheritance Supervisor::State::inheritance() const {
  Inheritance left{
      pools_.ids().last(), reloads_.succeeded(), reload_owed_ || reloads_.running(), {}};
  for (const auto& pool : pools_.all()) {
    if (!pool->empty() || !pool->removed()) left.pools.push_back(pool->inheritance());
  }
  return left;
}

Inheritance Supervisor::inheritance() const { return state_->inheritance(); }

}  // namespace corn::core
