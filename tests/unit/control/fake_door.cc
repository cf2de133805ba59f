// SPDX-License-Identifier: Apache-2.0
#include "fake_door.h"

#include <future>
#include <utility>

namespace corn::control {

FakeDoor::FakeDoor() : status(two_workers()) {
  on_command = [](const core::Command&, const driver::CommandCallbacks& callbacks) {
    callbacks.done({});
  };
  on_stop_worker = [](pid_t, bool, const driver::CommandCallbacks& callbacks) {
    callbacks.done({});
  };
  on_dump_worker = [](pid_t) { return driver::WorkerDump{}; };
  on_check_config = [](const std::string&, bool) { return driver::CommandOutcome{}; };
  thread_ = std::thread([this] { loop(); });
}

FakeDoor::~FakeDoor() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void FakeDoor::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void FakeDoor::run(const std::function<void()>& work) {
  std::promise<void> done;
  post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void FakeDoor::loop() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !posted_.empty(); });
      if (posted_.empty()) return;
      work = std::move(posted_.front());
      posted_.pop_front();
    }
    work();
  }
}

void FakeDoor::publish(core::Record record, driver::WallTime time) {
  const driver::HistoryEvent event{++last_sequence_, time, std::move(record)};
  history_.push_back(event);
  status.arbiter.revision = last_sequence_;
  std::erase_if(subscribers_, [&](const auto& entry) {
    if (entry.second.deliver(event)) return false;
    entry.second.ended(core::ReplyCode::kAborted, "too slow");
    return true;
  });
}

void FakeDoor::compact(std::uint64_t sequence) {
  while (!history_.empty() && history_.front().sequence <= sequence) history_.pop_front();
}

void FakeDoor::end_subscriptions() {
  for (const auto& [id, subscription] : std::exchange(subscribers_, {})) {
    subscription.ended(core::ReplyCode::kUnavailable, "shutting down");
  }
}

bool FakeDoor::get_status(std::function<void(const driver::StatusSnapshot&)> done) {
  if (!taking) return false;
  post([this, done = std::move(done)] { done(status); });
  return true;
}

bool FakeDoor::command(core::Command command, driver::CommandCallbacks callbacks) {
  if (!taking) return false;
  post([this, command = std::move(command), callbacks = std::move(callbacks)] {
    on_command(command, callbacks);
  });
  return true;
}

bool FakeDoor::stop_worker(pid_t pid, bool now, driver::CommandCallbacks callbacks) {
  if (!taking) return false;
  post([this, pid, now, callbacks = std::move(callbacks)] { on_stop_worker(pid, now, callbacks); });
  return true;
}

bool FakeDoor::dump_worker(pid_t pid, std::function<void(const driver::WorkerDump&)> done) {
  if (!taking) return false;
  post([this, pid, done = std::move(done)] { done(on_dump_worker(pid)); });
  return true;
}

bool FakeDoor::get_config(std::function<void(const std::vector<driver::EffectiveSetting>&)> done) {
  if (!taking) return false;
  post([this, done = std::move(done)] { done(settings); });
  return true;
}

bool FakeDoor::check_config(std::string file, bool load_applications,
                            std::function<void(const driver::CommandOutcome&)> done) {
  if (!taking) return false;
  post([this, file = std::move(file), load_applications, done = std::move(done)] {
    done(on_check_config(file, load_applications));
  });
  return true;
}

bool FakeDoor::subscribe(driver::Subscription subscription,
                         std::function<void(driver::SubscriptionId)> done) {
  if (!taking) return false;
  post([this, subscription = std::move(subscription), done = std::move(done)] {
    begin(subscription, done);
  });
  return true;
}

void FakeDoor::begin(const driver::Subscription& subscription,
                     const std::function<void(driver::SubscriptionId)>& done) {
  ++subscriptions_made;
  const driver::SubscriptionId id = ++last_id_;
  done(id);
  const std::uint64_t after = subscription.after_sequence;
  const bool compacted = after != 0 && !history_.empty() && after + 1 < history_.front().sequence;
  if (compacted) {
    subscription.ended(core::ReplyCode::kInvalidArgument,
                       "events after " + std::to_string(after) +
                           " are no longer kept; the oldest is " +
                           std::to_string(history_.front().sequence));
    return;
  }
  for (const driver::HistoryEvent& event : history_) {
    if (event.sequence <= after || subscription.deliver(event)) continue;
    subscription.ended(core::ReplyCode::kAborted, "too slow");
    return;
  }
  if (subscription.follow) {
    subscribers_[id] = subscription;
  } else {
    subscription.ended(core::ReplyCode::kDone, "");
  }
}

bool FakeDoor::unsubscribe(driver::SubscriptionId id) {
  post([this, id] { subscribers_.erase(id); });
  return true;
}

driver::StatusSnapshot two_workers() {
  driver::StatusSnapshot snapshot;
  snapshot.arbiter.pid = 100;
  snapshot.arbiter.version = "0.1.0";
  snapshot.arbiter.instance = "hello";
  snapshot.arbiter.state = "SERVING";
  snapshot.arbiter.started_at = std::chrono::sys_days(std::chrono::January / 31 / 2026) +
                                std::chrono::hours(5) + std::chrono::milliseconds(250);
  snapshot.arbiter.uptime_seconds = 93784;
  snapshot.arbiter.reloads = 2;

  driver::PoolStatus pool;
  pool.name = "default";
  pool.state = "SERVING";
  pool.application = "wsgi_test:application";
  pool.worker_class = "sync";
  pool.target = 2;
  pool.ready = 2;
  pool.generation = 3;
  pool.listeners.push_back({"127.0.0.1:8000", 3, 2048});
  pool.requests_total = 123456;
  pool.errors_total = 7;
  pool.restarts_total = 1;
  pool.latency_p50_ms = 1.25;
  pool.latency_p99_ms = 48;

  driver::WorkerStatus worker;
  worker.id = core::WorkerId{7};
  worker.pid = 101;
  worker.state = driver::ShownState::kReady;
  worker.generation = 3;
  worker.age = 5;
  worker.age_seconds = 3725;
  worker.requests = 60000;
  worker.rss_bytes = 44 * 1024 * 1024;
  worker.last_event = "ready";
  pool.workers.push_back(worker);

  worker.id = core::WorkerId{8};
  worker.pid = 102;
  worker.state = driver::ShownState::kBusy;
  worker.age = 6;
  worker.in_flight = 1;
  worker.busy = 0.37;
  worker.active.push_back({102, "GET", "/report", std::chrono::milliseconds(1500)});
  pool.workers.push_back(worker);

  snapshot.pools.push_back(pool);
  return snapshot;
}

}  // namespace corn::control
