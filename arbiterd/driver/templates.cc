// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/templates.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>

#include "base/log.h"

namespace corn::driver {
namespace {

// How long a worker may take to introduce itself whose template has ended.
constexpr base::Duration kUncertainLimit = std::chrono::seconds(10);

// SIGKILLs from outside in a row, while templates of a generation boot, after which the next one is
// a failure to boot: what doesn't fit into memory is killed each time.
constexpr std::uint32_t kForgivenKills = 3;

std::string boot_failure(const std::string& hook, const std::string& error) {
  std::string text = "The server hook " + hook + " has failed: " + error;
  if (error.find(std::strerror(EADDRINUSE)) != std::string::npos) {
    text +=
        "\n(The template process of the old generation still runs here, with all that it has "
        "opened. A port is opened in when_ready, which is called when that process has left.)";
  }
  return text;
}

}  // namespace

Templates::Templates(const ErrandContext& context, const LaunchContext& launch, Host host)
    : context_(context), launch_(launch), host_(std::move(host)) {}

Templates::~Templates() {
  for (const auto& [id, pending] : pending_) {
    if (!pending.uncertain) continue;
    context_.loop.unwatch(pending.plan.worker.channel.descriptor());
    context_.timers.cancel(pending.limit);
    context_.children.end_expectation();
  }
}

void Templates::begin(const config::PoolSettings& settings, core::Generation generation,
                      const std::string& instance, bool lazily) {
  const Key key(settings.spec.name, generation);
  // One that is begun lazily is another arbiter's work.
  generations_.insert_or_assign(
      key, Generation{.settings = settings, .instance = instance, .has_workers = lazily});
  if (!lazily && usable(key) == nullptr) make(key);
}

void Templates::retire(const std::string& pool, core::Generation generation) {
  generations_.erase({pool, generation});
  const auto templates = templates_;
  for (const auto& each : templates) {
    if (each->pool() == pool && each->generation() == generation) each->retire();
  }
}

void Templates::retire_older(const std::string& pool, core::Generation generation) {
  const auto begun = generations_;
  for (const auto& [key, settings] : begun) {
    if (key.first == pool && key.second < generation) retire(pool, key.second);
  }
  settle_only(pool);
}

void Templates::retire_pool(const std::string& pool) {
  const auto begun = generations_;
  for (const auto& [key, settings] : begun) {
    if (key.first == pool) retire(pool, key.second);
  }
}

TemplateProcess* Templates::usable(const Key& key) const {
  for (const auto& each : templates_) {
    if (Key(each->pool(), each->generation()) == key && !each->retiring()) return each.get();
  }
  return nullptr;
}

bool Templates::is_up(const std::string& pool, core::Generation generation) const {
  const TemplateProcess* found = usable({pool, generation});
  return found != nullptr && found->ready();
}

TemplateProcess& Templates::make(const Key& key) {
  const Generation& generation = generations_.at(key);
  if (generation.has_workers) {
    base::log_warning(
        "Pool {}, generation {}, gets a new template process: locks and values of multiprocessing "
        "that the configuration or the application makes are not shared between workers that were "
        "forked before and those that are from now on; a reload makes them anew for all",
        key.first, key.second);
  }
  templates_.push_back(std::make_shared<TemplateProcess>(
      context_, static_cast<TemplateProcess::Observer&>(*this), generation.settings, key.second));
  TemplateProcess& made = *templates_.back();
  made.requests().hold(held_);
  made.start(launch_, generation.instance);
  return made;
}

void Templates::spawn(SpawnPlan plan) {
  const core::WorkerId id = plan.worker.id;
  const Key key(plan.worker.pool, plan.worker.generation);
  const config::PoolSettings& settings = generations_.at(key).settings;
  // What is the template's alone.
  plan.config.settings.clear();
  plan.config.warm_up.clear();
  plan.config.config_file.clear();
  // The pool's environment is the template's already.
  auto prepared = prepare_fork(launch_, settings, plan.config, {});
  Pending& pending = pending_[id];
  pending.plan = std::move(plan);
  if (!prepared) return fail(id, std::nullopt, prepared.error().message);
  pending.plan.worker.channel = std::move(prepared->channel);
  pending.child_end = std::move(prepared->child_end);
  pending.token = ++last_token_;

  ForkRequest request;
  request.token = pending.token;
  request.fork = std::move(prepared->message);
  request.descriptors = {pending.child_end.descriptor()};
  request.descriptors.insert(request.descriptors.end(), pending.plan.descriptors.begin(),
                             pending.plan.descriptors.end());
  request.sent = [this, id] {
    Pending& given = pending_.at(id);
    given.given = true;
    given.child_end = {};
    given.plan.listeners.clear();
    given.plan.hand_off.reset();
    given.plan.logs.clear();
  };
  request.done = [this, id](const ForkOutcome& outcome) { on_forked(id, outcome); };

  TemplateProcess* from = usable(key);
  if (from == nullptr) from = &make(key);
  from->requests().add(std::move(request));
  if (from->slow() && from->requests().has_waiting_forks()) replace(*from);
}

void Templates::on_forked(core::WorkerId id, const ForkOutcome& outcome) {
  if (outcome.uncertain) {
    Pending& pending = pending_.at(id);
    pending.uncertain = true;
    pending.limit = context_.timers.at(context_.loop.now() + kUncertainLimit,
                                       [this, id] { on_uncertain(id, true); });
    std::ignore = context_.loop.watch(pending.plan.worker.channel.descriptor(), EPOLLIN,
                                      [this, id](std::uint32_t) { on_uncertain(id, false); });
    return;
  }
  if (outcome.pid == 0) return fail(id, std::nullopt, outcome.error);
  auto pidfd = os::open_child(outcome.pid);
  if (!pidfd) return fail(id, std::nullopt, pidfd.error().message);
  settle(id, outcome.pid, std::move(*pidfd));
}

// Its template ended while it was forked. If there is a child, it introduces itself; if there is
// none, nobody holds the other end of its channel.
void Templates::on_uncertain(core::WorkerId id, bool overdue) {
  Pending& pending = pending_.at(id);
  base::Channel& channel = pending.plan.worker.channel;
  auto received = channel.receive();
  if (received && !*received && !overdue) return;
  context_.loop.unwatch(channel.descriptor());
  context_.timers.cancel(pending.limit);
  const auto* hello = received && *received ? std::get_if<base::Hello>(&**received) : nullptr;
  auto pidfd = hello != nullptr ? os::open_child(hello->pid)
                                : base::Result<base::UniqueFd>(
                                      base::fail("its template process ended while it was forked"));
  if (pidfd) {
    settle(id, hello->pid, std::move(*pidfd));
  } else {
    fail(id, std::nullopt, pidfd.error().message);
  }
  context_.children.end_expectation();
}

void Templates::settle(core::WorkerId id, pid_t pid, base::UniqueFd pidfd) {
  Pending pending = std::move(pending_.extract(id).mapped());
  pending.plan.worker.pid = pid;
  pending.plan.worker.start_time = os::read_start_time(pid).value_or(0);
  const auto begun = generations_.find({pending.plan.worker.pool, pending.plan.worker.generation});
  if (begun != generations_.end()) begun->second.has_workers = true;
  host_.spawned(std::move(pending.plan.worker), std::move(pidfd));
  if (pending.signal) std::ignore = context_.children.send_signal(pid, *pending.signal);
}

void Templates::fail(core::WorkerId id, const std::optional<TemplateProcess::BootError>& error,
                     const std::string& text) {
  pending_.erase(id);
  host_.failed(id, error, text);
}

bool Templates::call_off(core::WorkerId worker, int signal) {
  const auto found = pending_.find(worker);
  if (found == pending_.end()) return false;
  Pending& pending = found->second;
  if (!pending.given) {
    for (const auto& each : templates_) {
      if (!each->requests().withdraw(pending.token)) continue;
      fail(worker, std::nullopt, "called off");
      return true;
    }
  }
  pending.signal = signal;
  if (signal != SIGKILL) return true;
  for (const auto& each : std::vector(templates_)) {
    const auto& current = each->requests().current();
    if (current && current->token == pending.token) {
      each->kill("a worker that it was to fork was called off");
    }
  }
  return true;
}

ForkRequest Templates::request_of(HookCall call) {
  ForkRequest request;
  request.token = ++last_token_;
  request.hook = std::move(call.name);
  request.arguments = std::move(call.arguments);
  request.holds_forks = call.holds_forks;
  request.done = [done = std::move(call.done)](const ForkOutcome& outcome) {
    if (done) done(outcome.error);
  };
  return request;
}

void Templates::prepare(const std::string& pool, core::Generation generation) {
  if (has(pool, generation) && usable({pool, generation}) == nullptr) make({pool, generation});
}

void Templates::run_hook(const std::string& pool, core::Generation generation, HookCall call) {
  const Key key(pool, generation);
  TemplateProcess* in = usable(key);
  if (in == nullptr) in = &make(key);
  in->requests().add(request_of(std::move(call)));
}

void Templates::on_ready(TemplateProcess& from) {
  if (from.retiring()) return;
  generations_.at({from.pool(), from.generation()}).killed_boots = 0;
  std::vector<HookCall> calls = host_.first_hooks(from.pool(), from.generation());
  if (is_only(from)) {
    from.settle();
    std::ranges::move(host_.only_hooks(from.pool(), from.generation()), std::back_inserter(calls));
  }
  from.requests().add_first(requests_of(from, std::move(calls)));
}

bool Templates::is_only(const TemplateProcess& one) const {
  const auto oldest = generations_.lower_bound({one.pool(), 0});
  if (oldest == generations_.end() || oldest->first != Key(one.pool(), one.generation())) {
    return false;
  }
  return std::ranges::none_of(templates_, [&](const auto& each) {
    return each->pool() == one.pool() && each.get() != &one;
  });
}

void Templates::settle_only(const std::string& pool) {
  for (const auto& each : templates_) {
    if (each->pool() != pool || !each->ready() || each->retiring() || each->settled()) continue;
    if (!is_only(*each)) return;
    each->settle();
    auto requests = requests_of(*each, host_.only_hooks(pool, each->generation()));
    return each->requests().add_first(std::move(requests));
  }
}

std::vector<ForkRequest> Templates::requests_of(TemplateProcess& in, std::vector<HookCall> calls) {
  std::vector<ForkRequest> requests;
  for (HookCall& call : calls) {
    if (generations_.at({in.pool(), in.generation()}).deadly.contains(call.name)) {
      base::log_warning(
          "The server hook {} is not called again: a template process of generation {} ended in it",
          call.name, in.generation());
      continue;
    }
    if (call.needed) {
      call.done = [&in, name = call.name](const std::string& error) {
        if (!error.empty()) in.fail_boot(boot_failure(name, error));
      };
    }
    requests.push_back(request_of(std::move(call)));
    requests.back().bound = true;
  }
  return requests;
}

void Templates::on_slow(TemplateProcess& from) {
  if (from.requests().has_waiting_forks()) replace(from);
}

// Workers are forked from another template; this one finishes its hooks, or is killed when it takes
// too long.
void Templates::replace(TemplateProcess& slow) {
  const Key key(slow.pool(), slow.generation());
  if (slow.retiring() || !generations_.contains(key)) return;
  base::log_warning(
      "The hook {} of pool {} takes long; workers are forked from another template process",
      slow.requests().current()->hook, key.first);
  // One hook that hangs at a time: their templates have the application's size.
  for (const auto& each : std::vector(templates_)) {
    if (Key(each->pool(), each->generation()) == key && each->retiring()) {
      each->kill("another hook hangs as well");
    }
  }
  auto waiting = slow.requests().take_waiting(true);
  slow.retire();
  TemplateProcess& fresh = make(key);
  for (ForkRequest& request : waiting) fresh.requests().add(std::move(request));
}

bool Templates::forgives(const TemplateProcess& ended) {
  const auto begun = generations_.find({ended.pool(), ended.generation()});
  return ended.boot_was_killed() && begun != generations_.end() &&
         ++begun->second.killed_boots <= kForgivenKills;
}

void Templates::on_end(TemplateProcess& from,
                       const std::optional<TemplateProcess::BootError>& boot_error) {
  const auto found =
      std::ranges::find_if(templates_, [&](const auto& each) { return each.get() == &from; });
  const std::shared_ptr<TemplateProcess> ended = std::move(*found);
  templates_.erase(found);
  const Key key(from.pool(), from.generation());
  if (const auto begun = generations_.find(key);
      begun != generations_.end() && !ended->ended_in().empty()) {
    begun->second.deadly.insert(ended->ended_in());
  }
  const auto error = forgives(*ended) ? std::nullopt : boot_error;
  std::vector<ForkRequest> waiting = ended->requests().take_waiting(false);
  if (!waiting.empty() && !error && generations_.contains(key)) {
    TemplateProcess* next = usable(key);
    if (next == nullptr) next = &make(key);
    for (ForkRequest& request : waiting) next->requests().add(std::move(request));
  } else {
    const std::string why = error ? error->text : "its template process has ended";
    std::map<std::uint64_t, core::WorkerId> workers;
    for (const auto& [id, pending] : pending_) workers.emplace(pending.token, id);
    for (ForkRequest& request : waiting) {
      const auto worker = workers.find(request.token);
      if (worker != workers.end()) {
        fail(worker->second, error, why);
      } else {
        request.done({0, error ? "its template process could not boot" : why, false});
      }
    }
  }
  settle_only(key.first);
  if (templates_.empty() && all_left_) std::exchange(all_left_, nullptr)();
}

void Templates::pass_logs(const std::string& pool, const base::TakeLogs& order,
                          const std::vector<int>& files) const {
  for (const auto& each : templates_) {
    if (each->pool() == pool) each->pass_logs(order, files);
  }
}

void Templates::hold(bool held) {
  held_ = held;
  const auto templates = templates_;
  for (const auto& each : templates) each->requests().hold(held);
}

bool Templates::forking() const {
  return std::ranges::any_of(pending_, [](const auto& entry) { return entry.second.given; });
}

void Templates::end_loading() {
  const auto templates = templates_;
  for (const auto& each : templates) {
    if (!each->ready() && each->requests().idle()) each->retire();
  }
}

void Templates::leave_all(std::function<void()> done) {
  generations_.clear();
  if (templates_.empty()) return done();
  all_left_ = std::move(done);
  const auto templates = templates_;
  for (const auto& each : templates) each->retire();
}

}  // namespace corn::driver
