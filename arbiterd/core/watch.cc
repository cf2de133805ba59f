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

// From a request's start to the first time it is looked at; zero: no request is.
Duration first_look(const PoolSpec& spec) {
  return spec.request_warning > Duration::zero() ? spec.request_warning : spec.request_timeout;
}

// The shortest time from one inspection to the next; zero: nothing is watched.
Duration shortest_interval(const Worker& worker) {
  Duration shortest = Duration::max();
  if (worker.spec->timeout > Duration::zero()) shortest = worker.spec->timeout;
  if (worker.spec->request_timeout > Duration::zero()) {
    shortest = std::min(shortest, first_look(*worker.spec));
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
    // One may have begun right after the look.
    not_after(worker.inspected_at + first_look(spec));
    for (const WatchedRequest& request : worker.requests) {
      if (request.overdue) continue;
      not_after(request.start + (request.told_of ? spec.request_timeout : first_look(spec)));
    }
  }
  if (watches_memory(worker)) not_after(worker.inspected_at + kMemoryInterval);
}

// What is inside now, with what was made of it before.
void take_requests(Worker& worker, const Inspected& seen, TimePoint now) {
  const std::vector<WatchedRequest> before = std::move(worker.requests);
  worker.requests.clear();
  for (const RequestSeen& request : seen.requests) {
    WatchedRequest watched;
    watched.thread = request.thread;
    watched.start = std::clamp(request.start, worker.ready_at.value_or(worker.spawned_at), now);
    const auto known = std::ranges::find_if(before, [&watched](const WatchedRequest& other) {
      return other.thread == watched.thread && other.start == watched.start;
    });
    worker.requests.push_back(known == before.end() ? watched : *known);
  }
}

std::string name_of(const RequestSeen& request) {
  return request.what.empty() ? "a request" : request.what;
}

std::string in_oldest_request(const Inspected& seen) {
  const auto oldest = std::ranges::min_element(seen.requests, {}, &RequestSeen::start);
  return oldest == seen.requests.end() ? std::string() : " while in " + name_of(*oldest);
}

// The requests that have come over their limit since the last inspection, if there are any.
std::optional<Verdict> judge_requests(Worker& worker, const Inspected& seen, TimePoint now,
                                      std::vector<SlowRequest>& slow) {
  const PoolSpec& spec = *worker.spec;
  if (spec.request_timeout <= Duration::zero()) return std::nullopt;
  std::optional<Verdict> verdict;
  for (std::size_t i = 0; i < worker.requests.size(); ++i) {
    WatchedRequest& request = worker.requests[i];
    const Duration age = now - request.start;
    if (age >= spec.request_timeout) {
      if (request.overdue) continue;
      request.overdue = request.told_of = true;
      const std::string text =
          fmt::format("{} takes {}, over the limit of {}", name_of(seen.requests[i]), to_text(age),
                      to_text(spec.request_timeout));
      if (verdict) {
        verdict->reason += "; " + text;
      } else {
        verdict = Verdict{Cause::kRequestTimeout, text};
      }
    } else if (spec.request_warning > Duration::zero() && age >= spec.request_warning &&
               !request.told_of) {
      request.told_of = true;
      slow.push_back(
          {request.thread,
           fmt::format("{} has taken {} in thread {}; its limit is {}", name_of(seen.requests[i]),
                       to_text(age), request.thread, to_text(spec.request_timeout)),
           spec.request_timeout - age});
    }
  }
  if (verdict) {
    verdict->has_other_work =
        seen.free_threads > 0 || seen.sending > 0 ||
        !std::ranges::all_of(worker.requests, [](const auto& request) { return request.overdue; });
  }
  return verdict;
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

std::optional<Verdict> judge(Worker& worker, const Inspected& seen, TimePoint now,
                             std::vector<SlowRequest>& slow) {
  worker.beat = std::max(worker.beat, std::min(seen.beat, now));
  worker.inspected_at = now;
  take_requests(worker, seen, now);
  auto overdue = judge_requests(worker, seen, now, slow);
  set_next_inspection(worker);

  const PoolSpec& spec = *worker.spec;
  const Duration silence = now - worker.beat;
  if (spec.timeout > Duration::zero() && silence >= spec.timeout) {
    return Verdict{Cause::kTimeout,
                   fmt::format("silent for {}{}", to_text(silence), in_oldest_request(seen))};
  }
  return overdue;
}

std::optional<Verdict> judge_memory(const Worker& worker, const Inspected& seen) {
  const std::uint64_t limit = worker.spec->max_memory;
  if (limit == 0 || seen.rss < limit) return std::nullopt;
  constexpr std::uint64_t kMebibyte = 1U << 20U;
  return Verdict{Cause::kMaxMemory, fmt::format("uses {} MiB of memory, limit {} MiB",
                                                seen.rss / kMebibyte, limit / kMebibyte)};
}

}  // namespace corn::core
