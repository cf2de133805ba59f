// SPDX-License-Identifier: Apache-2.0
// The arbiter's part in templates and hooks: workers that are forked, and the end of a run.
#include <utility>

#include "arbiterd/driver/arbiter.h"
#include "base/log.h"

namespace corn::driver {

void Arbiter::prepare_templates() {
  Templates::Host host;
  host.spawned = [this](WorkerProcess worker, base::UniqueFd pidfd) {
    on_forked(std::move(worker), std::move(pidfd));
  };
  host.failed = [this](core::WorkerId id, const std::optional<TemplateProcess::BootError>& error,
                       const std::string& text) { on_not_forked(id, error, text); };
  host.first_hooks = [this](const std::string& pool, core::Generation generation) {
    return hooks_->first(hook_scene(), pool, generation);
  };
  host.only_hooks = [this](const std::string& pool, core::Generation generation) {
    return hooks_->only(hook_scene(), pool, generation);
  };
  templates_ = std::make_unique<Templates>(errands(), launch_, std::move(host));
  hooks_ = std::make_unique<Hooks>(*templates_, [this](const std::string& why) {
    start_failure_ = why;
    feed(core::CommandReceived{core::CommandId{}, core::ShutdownCommand{true}});
  });
  if (estate_ && !estate_->extinct) hooks_->resumed();
}

void Arbiter::begin_templates(const core::BeginGeneration& action,
                              const config::PoolSettings& settings) {
  if (!settings.uses_template()) return;
  const bool reload = pools_.at(action.pool).generations.size() > 1;
  const std::string& name = loaded_.settings.arbiter.name;
  templates_->begin(settings, action.generation, name.empty() ? settings.worker.application : name,
                    resuming_);
  hooks_->began(hook_scene(), settings, action.generation, reload);
}

void Arbiter::on_forked(WorkerProcess worker, base::UniqueFd pidfd) {
  const core::WorkerId id = worker.id;
  const pid_t pid = worker.pid;
  const auto [entry, is_new] = workers_.emplace(id, std::move(worker));
  if (auto watched = watch(entry->second, std::move(pidfd)); !watched) {
    workers_.erase(entry);
    return feed(core::SpawnFailed{id, watched.error().message});
  }
  if (entry->second.log_reopens != log_reopens_) pass_logs(entry->second);
  feed(core::Spawned{id, pid});
}

void Arbiter::on_not_forked(core::WorkerId id,
                            const std::optional<TemplateProcess::BootError>& error,
                            const std::string& text) {
  if (error) feed(core::WorkerBootFailed{id, error->kind, error->text});
  feed(core::SpawnFailed{id, error ? "its template could not boot" : text});
}

HookScene Arbiter::hook_scene() const {
  HookScene scene;
  if (hooks_->pool().empty()) return scene;
  for (const auto& [id, worker] : workers_) {
    if (worker.pool == hooks_->pool()) scene.workers.emplace_back(worker.pid, worker.age);
  }
  for (const core::PoolSnapshot& pool : supervisor_.snapshot().pools) {
    if (pool.name == hooks_->pool()) scene.target = pool.target;
  }
  return scene;
}

void Arbiter::note_target(const std::string& pool) {
  if (!pool.empty() && pool == hooks_->pool()) hooks_->target_changed(hook_scene());
}

// Every worker has ended.
void Arbiter::end_supervision() {
  hooks_->at_exit(hook_scene(), [this] { templates_->leave_all([this] { loop_->stop(); }); });
}

}  // namespace corn::driver
