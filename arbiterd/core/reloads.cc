// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/reloads.h"

#include <fmt/core.h>

#include <algorithm>

namespace corn::core {
namespace {

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

}  // namespace

void Reloads::Request::merge(const Request& other) {
  waiters.insert(waiters.end(), other.waiters.begin(), other.waiters.end());
  scope.insert(other.scope.begin(), other.scope.end());
  all = all || other.all;
}

void Reloads::answer(const std::vector<CommandId>& waiters, ReplyCode code, const std::string& text,
                     Turn& turn) {
  for (const CommandId id : waiters) turn.reply(Reply{id, code, text});
}

void Reloads::ask(CommandId id, const std::string& pool, Turn& turn) {
  if (!pool.empty() && pools_.find_present(pool) == nullptr) {
    turn.reply(Reply{id, ReplyCode::kNotFound,
                     fmt::format("no pool {}; there are: {}", pool, pools_.names())});
    return;
  }
  Request request;
  if (id.value != 0) request.waiters.push_back(id);
  if (pool.empty()) {
    request.all = true;
  } else {
    request.scope.insert(pool);
  }
  if (load_outstanding_) {
    if (!queued_) queued_ = Request{};
    queued_->merge(request);
    return;
  }
  loading_ = std::move(request);
  load_outstanding_ = true;
  turn.order(LoadSettings{});
}

bool Reloads::read_again(Turn& turn) {
  load_outstanding_ = false;
  if (!queued_) return false;
  if (!loading_) loading_ = Request{};
  loading_->merge(*std::exchange(queued_, {}));
  load_outstanding_ = true;
  turn.order(LoadSettings{});
  return true;
}

void Reloads::settings_failed(const std::string& text, Turn& turn) {
  if (!load_outstanding_ || read_again(turn) || !loading_) return;
  const Request request = *std::exchange(loading_, {});
  fail(request, text, turn);
}

void Reloads::fail(const Request& request, const std::string& text, Turn& turn) {
  Record record;
  record.kind = RecordKind::kReloadFailed;
  record.text = text;
  turn.publish(std::move(record));
  answer(request.waiters, ReplyCode::kFailedPrecondition, text, turn);
}

void Reloads::settings_loaded(const std::vector<PoolSpec>& specs, Turn& turn) {
  if (!load_outstanding_ || read_again(turn) || !loading_) return;
  Rolling next;
  next.request = *std::exchange(loading_, {});
  if (specs.empty()) {
    fail(next.request, "the settings have no pool", turn);
    return;
  }
  if (rolling_) {
    next.request.waiters.insert(next.request.waiters.begin(), rolling_->request.waiters.begin(),
                                rolling_->request.waiters.end());
    next.request.all = next.request.all || rolling_->request.all;
    next.request.scope.insert(rolling_->pools.begin(), rolling_->pools.end());
    next.leaving = std::move(rolling_->leaving);
    next.successes = std::move(rolling_->successes);
    rolling_.reset();
  }
  for (const PoolSpec& spec : specs) {
    if (!next.request.covers(spec.name)) continue;
    Pool* pool = pools_.find(spec.name);
    if (pool == nullptr) pool = &pools_.add(spec.name);
    pool->begin_rollout(spec, turn);
    next.pools.insert(spec.name);
  }
  for (Pool* pool : pools_.present()) {
    const bool kept = std::ranges::any_of(
        specs, [pool](const PoolSpec& spec) { return spec.name == pool->name(); });
    if (kept || !next.request.covers(pool->name())) continue;
    pool->cancel_rollout("gone from the settings", turn);
    if (next.request.all) {
      next.removed.insert(pool->name());
    } else {
      next.failures.push_back(fmt::format(
          "the settings have no pool {} any more; reload all pools to remove it", pool->name()));
    }
  }
  rolling_ = std::move(next);
}

void Reloads::settle(Turn& turn) {
  if (rolling_) {
    std::erase_if(rolling_->pools, [&](const std::string& name) {
      Pool* pool = pools_.find(name);
      const auto end = pool->take_rollout_end();
      if (!end) return false;
      if (end->succeeded) {
        rolling_->leaving.insert(rolling_->leaving.end(), end->leaving.begin(), end->leaving.end());
        rolling_->successes[name] = end->text;
      } else {
        rolling_->failures.push_back(end->text);
      }
      return true;
    });
    if (rolling_->pools.empty()) {
      finish_rolling(turn);
    } else {
      report_progress(turn);
    }
  }
  std::erase_if(finishing_, [&](Finishing& finishing) {
    std::erase_if(finishing.leaving,
                  [&](WorkerId id) { return pools_.find_worker(id).worker == nullptr; });
    if (!finishing.leaving.empty()) return false;
    answer(finishing.waiters, ReplyCode::kDone, finishing.text, turn);
    return true;
  });
}

void Reloads::report_progress(Turn& turn) {
  std::uint32_t ready = 0;
  std::uint32_t wanted = 0;
  for (const std::string& name : rolling_->pools) {
    const Pool* pool = pools_.find(name);
    ready += pool->rollout_ready();
    wanted += pool->target();
  }
  if (ready == rolling_->reported_ready) return;
  rolling_->reported_ready = ready;
  for (const CommandId id : rolling_->request.waiters) {
    turn.order(
        Progress{id, fmt::format("{} of {} new workers ready", ready, wanted), ready, wanted});
  }
}

void Reloads::finish_rolling(Turn& turn) {
  Rolling ended = *std::exchange(rolling_, {});
  if (!ended.failures.empty()) {
    answer(ended.request.waiters, ReplyCode::kFailedPrecondition, joined(ended.failures, "\n"),
           turn);
    return;
  }
  ++succeeded_;
  for (const std::string& name : ended.removed) {
    Pool* pool = pools_.find(name);
    if (pool == nullptr || pool->removed()) continue;
    const std::vector<WorkerId> leaving = pool->remove("gone from the settings", turn);
    ended.leaving.insert(ended.leaving.end(), leaving.begin(), leaving.end());
  }
  if (ended.request.waiters.empty()) return;
  std::vector<std::string> successes;
  for (const auto& [pool, text] : ended.successes) successes.push_back(text);
  finishing_.push_back(Finishing{std::move(ended.request.waiters), std::move(ended.leaving),
                                 joined(successes, ", ")});
}

void Reloads::cancel(ReplyCode code, const std::string& text, Turn& turn) {
  for (std::optional<Request>* request : {&loading_, &queued_}) {
    if (*request) answer((*request)->waiters, code, text, turn);
    request->reset();
  }
  if (rolling_) answer(rolling_->request.waiters, code, text, turn);
  rolling_.reset();
  for (const Finishing& finishing : finishing_) answer(finishing.waiters, code, text, turn);
  finishing_.clear();
}

std::size_t Reloads::waiting() const {
  std::size_t waiting = 0;
  for (const std::optional<Request>* request : {&loading_, &queued_}) {
    if (*request) waiting += (*request)->waiters.size();
  }
  if (rolling_) waiting += rolling_->request.waiters.size();
  for (const Finishing& finishing : finishing_) waiting += finishing.waiters.size();
  return waiting;
}

}  // namespace corn::core
