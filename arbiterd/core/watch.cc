// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/watch.h"

#include <fmt/core.h>

#include <algorithm>

namespace corn::core {
namespace {

constexpr Duration kMemoryInterval = std::chrono::seconds(10);

bool watches_memory(const Worker& worker) {
  return worker.spec->max_memory > 0 && worker.state == WorkerState::kReady;
}

// The shortest time from one inspection to the next; zero: nothing is watched.
Duration shortest_interval(const Worker& worker) {
  Duration shortest = Duration::max();
  if (worker.spec->timeout > Duration::zero()) shortest = worker.spec->timeout;
  if (worker.spec->request_timeout > Duration::zero()) {
    shortest = std::min(shortest, worker.spec->request_timeout);
  }
  if (watches_memory(worker)) shortest = std::min(shortest, kMemoryInterval);
  return shortest == Duration::max() ? Duration::zero() : shortest;
}

void set_next_inspection(Worker& worker) {
  worker.inspection_at.reset();
  const auto not_after = [&worker](TimePoint time) {
    worker.inspection_at = std::min(worker.inspection_at.value_or(time), time);
  };
  const PoolSpec& spec = *worker.spec;
  if (spec.timeout > Duration::zero()) not_after(worker.beat + spec.timeout);
  if (spec.request_timeout > Duration::zero()) {
    // With no request seen, one may have begun right after the look.
    not_after(worker.request_start.value_or(worker.inspected_at) + spec.request_timeout);
  }
  if (watches_memory(worker)) not_after(worker.inspected_at + kMemoryInterval);
}

std::string in_request(const Inspected& seen) {
  return seen.request.empty() ? std::string() : " while in " + seen.request;
}

}  // namespace

void begin_watch(Worker& worker, TimePoint now) {
  worker.beat = now;
  worker.inspected_at = now;
  set_next_inspection(worker);
}

bool inspection_due(const Worker& worker, TimePoint now) {
  return worker.inspection_at && *worker.inspection_at <= now;
}

bool inspection_near(const Worker& worker, TimePoint now) {
  return worker.inspection_at && *worker.inspection_at - shortest_interval(worker) / 4 <= now;
}

void inspection_ordered(Worker& worker, TimePoint now) {
  // A worker that drains is no longer watched for its memory; there may be nothing else to watch.
  worker.inspection_at.reset();
  if (const Duration interval = shortest_interval(worker); interval > Duration::zero()) {
    worker.inspection_at = now + interval;
  }
}

std::optional<Verdict> judge(Worker& worker, const Inspected& seen, TimePoint now) {
  worker.beat = std::max(worker.beat, std::min(seen.beat, now));
  worker.inspected_at = now;
  worker.request_start = seen.oldest_request_start;
  if (worker.request_start) {
    worker.request_start =
        std::clamp(*worker.request_start, worker.ready_at.value_or(worker.spawned_at), now);
  }
  set_next_inspection(worker);

  const PoolSpec& spec = *worker.spec;
  const Duration silence = now - worker.beat;
  if (spec.timeout > Duration::zero() && silence >= spec.timeout) {
    return Verdict{Cause::kTimeout,
                   fmt::format("silent for {}{}", to_text(silence), in_request(seen))};
  }
  if (spec.request_timeout > Duration::zero() && worker.request_start &&
      now - *worker.request_start >= spec.request_timeout) {
    return Verdict{
        Cause::kRequestTimeout,
        fmt::format("{} takes {}, over the limit of {}",
                    seen.request.empty() ? "a request" : seen.request,
                    to_text(now - *worker.request_start), to_text(spec.request_timeout))};
  }
  return std::nullopt;
}

std::optional<Verdict> judge_memory(const Worker& worker, const Inspected& seen) {
  const std::uint64_t limit = worker.spec->max_memory;
  if (limit == 0 || seen.rss < limit) return std::nullopt;
  constexpr std::uint64_t kMebibyte = 1U << 20U;
  return Verdict{Cause::kMaxMemory, fmt::format("uses {} MiB of memory, limit {} MiB",
                                                seen.rss / kMebibyte, limit / kMebibyte)};
}

}  // namespace corn::core
