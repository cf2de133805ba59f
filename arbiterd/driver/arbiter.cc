// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/arbiter.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <random>
#include <utility>

#include "arbiterd/driver/convert.h"
#include "arbiterd/driver/loop_door.h"
#include "arbiterd/driver/names.h"
#include "arbiterd/driver/state_file.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// With a terminal SIGWINCH means that its window was resized.
bool is_at_terminal() {
  if (::isatty(STDIN_FILENO) || ::isatty(STDOUT_FILENO) || ::isatty(STDERR_FILENO)) return true;
  return static_cast<bool>(base::UniqueFd(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY)));
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_about_logs(const base::Unsupported& answer) {
  return answer.type == base::Message(base::TakeLogs()).index();
}

}  // namespace

base::Result<std::unique_ptr<Arbiter>> Arbiter::create(ArbiterOptions options) {
  std::unique_ptr<Arbiter> arbiter(new Arbiter(std::move(options)));
  if (auto prepared = arbiter->prepare(); !prepared) return tl::unexpected(prepared.error());
  return arbiter;
}

Arbiter::Arbiter(ArbiterOptions options)
    : invocation_(std::move(options.invocation)),
      launch_(std::move(options.launch)),
      instance_(std::move(options.instance)),
      started_as_(std::move(options.started_as)),
      state_file_(std::move(options.state_file)),
      lock_(options.lock),
      started_at_(options.estate && options.estate->upgraded ? options.estate->state.started_at
                                                             : std::chrono::system_clock::now()),
      script_(options.script),
      has_terminal_(is_at_terminal()),
      notifier_(std::move(options.notifier)),
      daemon_(std::move(options.daemon)),
      timers_([this] { arm(); }),
      supervisor_(std::random_device{}()),
      loaded_(std::move(options.loaded)),
      estate_(std::move(options.estate)) {}

Arbiter::~Arbiter() {
  if (script_ != nullptr) script_->detach();
  // Nobody is left to be adopted. An arbiter that was killed while it adopted has left its socket.
  if (!exit_status_) return;
  remove_state_file(state_file_);
  ::unlink(launch_.adoption_socket.c_str());
}

Door& Arbiter::door() { return *door_; }

base::Status Arbiter::prepare() {
  auto loop = os::EpollLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  loop_ = std::move(*loop);
  children_ = std::make_unique<os::PidfdChildWatch>(*loop_);
  auto signals = os::SignalSource::create(
      *loop_, [this](const os::SignalLevels& levels) { on_signals(levels); });
  if (!signals) return tl::unexpected(signals.error());
  signals_ = std::move(*signals);
  if (auto opened = open_cgroups(); !opened) return opened;
  door_ = std::make_unique<LoopDoor>(*this);
  prepare_templates();
  if (script_ != nullptr) {
    if (auto attached = script_->attach(*loop_, *children_); !attached) return attached;
  }
  dumps_ = std::make_unique<Dumps>(
      *loop_, timers_,
      [this](core::WorkerId id) {
        const auto found = workers_.find(id);
        return found == workers_.end() ? nullptr : &found->second;
      },
      [this](core::WorkerId id) { return is_booting(id); },
      [this](pid_t pid, std::function<void(NativeStacks)> done) {
        read_native_stacks(errands(), launch_, pid, std::move(done));
      });
  code_watch_ = std::make_unique<CodeWatch>(*loop_, timers_, [this](const std::string& what) {
    base::log_info("Reloading: {} modified", what);
    feed(core::CommandReceived{core::CommandId{}, core::ReloadCommand{}});
  });
  loop_->on_deadline([this] {
    timers_.run_due(loop_->now());
    feed(core::DeadlineReached{});
  });
  return {};
}

base::Status Arbiter::open_cgroups() {
  const std::string& setting = loaded_.settings.arbiter.worker_cgroups;
  if (setting.empty() || setting == "off") return {};
  const bool automatic = setting == "auto";
  auto opened = os::WorkerCgroups::open(automatic ? "" : setting);
  if (opened) {
    cgroups_ = std::move(*opened);
    return {};
  }
  const std::string why = fmt::format("worker_cgroups = {}: {}", setting, opened.error().message);
  if (!automatic && !estate_) return base::fail(why);
  base::log_warning("{}; workers get no control group of their own", why);
  return {};
}

void Arbiter::start_failed(int status, const std::string& text) {
  if (daemon_) daemon_->failed(status, text);
}

int Arbiter::run() {
  started_ = loop_->now();
  children_->reap_strangers();  // what ended before this program began
  const std::string directory =
      launch_.adoption_socket.substr(0, launch_.adoption_socket.rfind('/'));
  adoption_directory_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  departures_ = open_departures(state_file_);
  start_watchdog();
  adopt_outlets();
  if (estate_ && !estate_->extinct) {
    resume();
  } else {
    log_start();
    core::Start start;
    if (estate_) start.last_worker = remember();
    for (const config::PoolSettings& pool : loaded_.settings.pools) {
      start.pools.push_back(pool.spec);
    }
    feed(std::move(start));
  }
  loop_->run();
  history_.close("arbiterd has stopped");
  return exit_status_.value_or(0);
}

void Arbiter::feed(core::Event event) {
  pending_.push_back(std::move(event));
  if (feeding_) return;
  feeding_ = true;
  while (!pending_.empty()) {
    const core::Event next = std::move(pending_.front());
    pending_.pop_front();
    for (const core::Action& action : supervisor_.on_event(next, loop_->now())) {
      std::visit([this](const auto& one) { execute(one); }, action);
    }
  }
  feeding_ = false;
  if (outlets_.counts_workers()) outlets_.tell_workers(supervisor_.snapshot());
  // A worker that is being forked just now would be nobody's.
  if (upgrade_ordered_ && !templates_->forking()) {
    upgrade_ordered_ = false;
    replace_program();
  }
  if (state_urgent_) write_state();
  arm();
}

void Arbiter::arm() {
  if (loop_ == nullptr) return;
  auto deadline = supervisor_.next_deadline();
  if (const auto own = timers_.next(); own && (!deadline || *own < *deadline)) deadline = own;
  loop_->set_deadline(deadline);
}

void Arbiter::on_signals(const os::SignalLevels& levels) {
  if (levels.child_ended) children_->reap_strangers();
  for (const int signal : levels.commands) {
    if (signal == SIGWINCH && has_terminal_) {
      base::log_debug("Ignoring signal: winch (a window was resized)");
      continue;
    }
    base::log_info("Handling signal: {}", lower(os::signal_name(signal)));
    const auto command = [this](core::Command what) {
      feed(core::CommandReceived{core::CommandId{}, std::move(what)});
    };
    switch (signal) {
      case SIGTERM:
        command(core::ShutdownCommand{false});
        break;
      case SIGINT:
      case SIGQUIT:
        command(core::ShutdownCommand{true});
        break;
      case SIGHUP:
        command(core::ReloadCommand{});
        break;
      case SIGTTIN:
        command(core::ScaleCommand{"", true, 1});
        break;
      case SIGTTOU:
        command(core::ScaleCommand{"", true, -1});
        break;
      case SIGUSR1:
        command(core::ReopenLogsCommand{});
        break;
      case SIGWINCH:
        command(core::DormantCommand{});
        break;
      case SIGUSR2:
        command(core::UpgradeCommand{});
        break;
      default:
        break;
    }
  }
}

void Arbiter::on_channel(core::WorkerId id) {
  for (;;) {
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    auto received = found->second.channel.receive();
    if (!received && received.error().os_errno == EBADMSG) {
      base::log_warning("worker {} sent a message that can't be read, ignoring: {}",
                        found->second.pid, received.error().message);
      continue;
    }
    if (!received) {  // its end is told by its pidfd
      loop_->unwatch(found->second.channel.descriptor());
      return;
    }
    if (!*received) return;
    on_message(found->second, **received);
  }
}

void Arbiter::on_message(WorkerProcess& worker, const base::Message& message) {
  if (std::holds_alternative<base::Ready>(message)) {
    feed(core::WorkerReady{worker.id});
  } else if (const auto* failed = std::get_if<base::BootFailed>(&message)) {
    feed(core::WorkerBootFailed{worker.id, failed->kind, failed->text});
  } else if (const auto* retiring = std::get_if<base::Retiring>(&message)) {
    if (const auto cause = core::cause_from_name(retiring->cause)) {
      feed(core::WorkerRetiring{worker.id, *cause});
    } else {
      base::log_warning("worker {} wants to retire for an unknown cause '{}', ignoring", worker.pid,
                        retiring->cause);
    }
  } else if (const auto* loaded = std::get_if<base::LoadedFiles>(&message)) {
    code_watch_->add(loaded->paths);
  } else if (const auto* dumped = std::get_if<base::DumpResult>(&message)) {
    dumps_->on_result(worker, *dumped);
  } else if (const auto* unsupported = std::get_if<base::Unsupported>(&message);
             unsupported != nullptr && is_about_logs(*unsupported)) {
    // One of an older version, adopted or from before an upgrade: it opens its files itself.
    std::ignore = worker.channel.send(base::ReopenLogs{});
  } else if (unsupported != nullptr) {
    base::log_warning("worker {} doesn't understand message type {} version {}, ignoring",
                      worker.pid, unsupported->type, unsupported->version);
  }
}

void Arbiter::on_exit(core::WorkerId id, const os::ExitStatus& status) {
  on_channel(id);  // a reason may have been sent just before the end
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  loop_->unwatch(found->second.channel.descriptor());
  const base::ScoreboardView left = found->second.scoreboard.read(true);
  PoolRuntime& pool = pools_[found->second.pool];
  pool.totals.add(left);
  pool.totals.add_cut_off(left, loop_->now());
  if (pool.hand_off) pool.hand_off->have_newcomers_looked_for();
  core::ExitStatus end = to_core(status);
  note_last_request(left, end);
  dumps_->on_exit(id, found->second.pid);
  const auto ended = workers_.extract(found);
  const core::OutOfMemory out_of_memory = out_of_memory_of(ended.mapped().pid, status);
  if (cgroups_) cgroups_->remove(ended.mapped().pid);
  hooks_->child_exited(hook_scene(), ended.mapped(), status);
  feed(core::WorkerExited{id, std::move(end), out_of_memory});
}

core::OutOfMemory Arbiter::out_of_memory_of(pid_t pid, const os::ExitStatus& status) {
  const bool killed = status.kind == os::ExitStatus::Kind::kSignaled && status.code == SIGKILL;
  if (!killed) return core::OutOfMemory::kNo;
  // Both are asked, so that the common count's kill is claimed by whom it belongs to.
  const bool counted = oom_counter_.claim(loop_->now());
  if (cgroups_ && cgroups_->killed_for_memory(pid)) return core::OutOfMemory::kCertain;
  return counted ? core::OutOfMemory::kInferred : core::OutOfMemory::kNo;
}

void Arbiter::log_notes() const {
  for (const std::string& note : loaded_.settings.notes) base::log_warning("{}", note);
}

void Arbiter::log_start() const {
  base::log_info("Starting corn {}", CORN_VERSION);
  log_notes();
  for (const config::PoolSettings& pool : loaded_.settings.pools) {
    std::string urls;
    for (const ListenerPtr& listener : loaded_.pools.at(pool.spec.name).listeners) {
      urls += (urls.empty() ? "" : ",") + listener->info().url;
    }
    base::log_info("Listening at: {} ({})", urls, ::getpid());
    base::log_info("Using worker: {}", name_of(pool.worker.worker_class));
  }
}

void Arbiter::start_watchdog() {
  const auto interval = notifier_.watchdog_interval();
  if (!interval) return;
  std::ignore = notifier_.watchdog();
  timers_.at(loop_->now() + *interval, [this] { start_watchdog(); });
}

void Arbiter::adopt_outlets() {
  outlets_.adopt(loaded_.settings);
  code_watch_->adopt(loaded_.settings, invocation_);
  if (outlets_.measures_backlog() && !backlog_timer_) measure_backlog();
}

// The one thing that ticks, and only where somebody has asked for it.
void Arbiter::measure_backlog() {
  backlog_timer_.reset();
  if (!outlets_.measures_backlog()) return;
  outlets_.tell_backlog(pools_);
  backlog_timer_ =
      timers_.at(loop_->now() + Outlets::kBacklogInterval, [this] { measure_backlog(); });
}

void Arbiter::post_command(core::Command command, CommandCallbacks callbacks) {
  const core::CommandId id{++last_command_};
  commands_.emplace(id, std::move(callbacks));
  feed(core::CommandReceived{id, std::move(command)});
}

bool Arbiter::is_booting(core::WorkerId id) const {
  for (const core::PoolSnapshot& pool : supervisor_.snapshot().pools) {
    for (const core::WorkerSnapshot& worker : pool.workers) {
      if (worker.id == id) return worker.state == core::WorkerState::kBooting;
    }
  }
  return false;
}

bool Arbiter::is_leaving(const std::string& pool) const {
  const std::vector<core::PoolSnapshot> pools = supervisor_.snapshot().pools;
  return std::ranges::any_of(
      pools, [&](const core::PoolSnapshot& one) { return one.name == pool && one.leaving; });
}

ErrandContext Arbiter::errands() { return {*loop_, *children_, launcher_, timers_, script_}; }

}  // namespace corn::driver
