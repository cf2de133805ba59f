// SPDX-License-Identifier: Apache-2.0
#include "tests/scenarios/interpreter.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>

#include "arbiterd/core/supervisor.h"
#include "tests/scenarios/print.h"

namespace corn::scenarios {
namespace {

using core::CommandId;
using core::Duration;
using core::PoolSpec;
using core::TimePoint;
using core::WorkerId;
using Words = std::deque<std::string>;

constexpr std::string_view kSeparator = "----";
constexpr pid_t kFirstPid = 1000;  // worker w7 has pid 1007
constexpr int kMostTurns = 10000;  // of one `advance`

Words split(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::int64_t to_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument(fmt::format("not a number: {}", text));
  }
  return number;
}

// "250ms", "1.5s", "2m".
Duration to_duration(const std::string& text) {
  std::size_t digits = 0;
  const double number = std::stod(text, &digits);
  const std::string unit = text.substr(digits);
  const double milliseconds = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60000 : -1;
  if (milliseconds < 0) throw std::invalid_argument("not a duration: " + text);
  return std::chrono::milliseconds(static_cast<std::int64_t>(number * milliseconds));
}

std::pair<std::string, std::string> key_and_value(const std::string& word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos) return {word, ""};
  return {word.substr(0, equals), word.substr(equals + 1)};
}

std::string rest_of(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  for (std::size_t at = 0; (at = text.find("\\n", at)) != std::string::npos;) {
    text.replace(at, 2, "\n");
  }
  return text;
}

std::string take_first(Words& words) {
  if (words.empty()) throw std::invalid_argument("something is missing at the end of the line");
  std::string first = words.front();
  words.pop_front();
  return first;
}

// "#7" anywhere among the words; 0 if there is none.
CommandId take_command_id(Words& words) {
  const auto found =
      std::ranges::find_if(words, [](const std::string& word) { return word.starts_with('#'); });
  if (found == words.end()) return {};
  const CommandId id{static_cast<std::uint64_t>(to_number(found->substr(1)))};
  words.erase(found);
  return id;
}

// "3", "w3" or "1-4".
std::vector<WorkerId> to_workers(std::string word) {
  if (word.starts_with('w')) word.erase(0, 1);
  const std::size_t dash = word.find('-');
  const std::int64_t first = to_number(word.substr(0, dash));
  const std::int64_t last = dash == std::string::npos ? first : to_number(word.substr(dash + 1));
  std::vector<WorkerId> workers;
  for (std::int64_t id = first; id <= last; ++id) {
    workers.push_back(WorkerId{static_cast<std::uint64_t>(id)});
  }
  return workers;
}

WorkerId take_worker(Words& words) { return to_workers(take_first(words)).front(); }

std::vector<WorkerId> take_workers(Words& words) {
  std::vector<WorkerId> all;
  while (!words.empty()) {
    const std::vector<WorkerId> some = to_workers(take_first(words));
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

int to_signal(const std::string& name) {
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* abbreviation = ::sigabbrev_np(signal);
    if (abbreviation != nullptr && name == abbreviation) return signal;
  }
  throw std::invalid_argument("not a signal: " + name);
}

core::Cause to_cause(const std::string& name) {
  const auto cause = core::cause_from_name(name);
  if (!cause) throw std::invalid_argument("not a cause that a worker reports: " + name);
  return *cause;
}

void set(PoolSpec& spec, const std::string& word) {
  const auto [key, value] = key_and_value(word);
  if (key == "workers") {
    spec.workers = static_cast<std::uint32_t>(to_number(value));
  } else if (key == "timeout") {
    spec.timeout = to_duration(value);
  } else if (key == "boot_timeout") {
    spec.boot_timeout = to_duration(value);
  } else if (key == "graceful_timeout") {
    spec.graceful_timeout = to_duration(value);
  } else if (key == "request_timeout") {
    spec.request_timeout = to_duration(value);
  } else if (key == "request_warning") {
    spec.request_warning = to_duration(value);
  } else if (key == "max_lifetime") {
    spec.max_lifetime = to_duration(value);
  } else if (key == "max_memory") {
    spec.max_memory = static_cast<std::uint64_t>(to_number(value)) << 20U;  // MiB
  } else if (key == "surge") {
    spec.reload_surge_percent = value.ends_with('%');
    spec.reload_surge = static_cast<std::uint32_t>(to_number(value.substr(0, value.find('%'))));
  } else if (key == "handover") {
    spec.handover = value == "exclusive" ? core::Handover::kExclusive : core::Handover::kOverlap;
  } else if (key == "restart_intensity") {
    spec.restart_intensity = static_cast<std::uint32_t>(to_number(value));
  } else if (key == "restart_window") {
    spec.restart_window = to_duration(value);
  } else {
    throw std::invalid_argument("no such setting: " + key);
  }
}

class Interpreter {
 public:
  Interpreter() : supervisor_(std::make_unique<core::Supervisor>(1)) {}

  // Runs one command; returns what came of it.
  std::string run(const std::string& line) {
    output_.clear();
    try {
      Words words = split(line);
      const std::string command = take_first(words);
      const auto found = kCommands.find(command);
      if (found == kCommands.end()) throw std::invalid_argument("no such command: " + command);
      (this->*found->second)(words);
    } catch (const std::exception& error) {
      output_ += fmt::format("error: {}\n", error.what());
    }
    return output_;
  }

 private:
  using Command = void (Interpreter::*)(Words&);
  static const std::map<std::string, Command> kCommands;

  void feed(const core::Event& event) {
    std::vector<WorkerId> to_inspect;
    for (const core::Action& action : supervisor_->on_event(event, now_)) {
      output_ += print(action);
      if (const auto* inspect = std::get_if<core::InspectWorker>(&action)) {
        to_inspect.push_back(inspect->worker);
      }
    }
    if (const auto deadline = supervisor_->next_deadline(); deadline && *deadline <= now_) {
      output_ += "error: the next deadline is not in the future\n";
    }
    for (const WorkerId worker : to_inspect) {
      if (all_healthy_ || healthy_.contains(worker)) {
        core::Inspected seen;
        seen.worker = worker;
        seen.beat = now_;
        feed(seen);
      }
    }
  }

  void pool(Words& words) {
    PoolSpec spec;
    spec.name = take_first(words);
    for (const std::string& word : words) set(spec, word);
    if (!fresh_settings_) settings_.clear();
    fresh_settings_ = true;
    settings_.push_back(spec);
  }
  void start(Words& words) {  // or "start after wN"
    fresh_settings_ = false;
    feed(core::Start{settings_, words.empty() ? WorkerId{} : to_workers(words.back()).front()});
  }
  void settings_loaded(Words&) {
    fresh_settings_ = false;
    feed(core::SettingsLoaded{settings_});
  }
  void settings_empty(Words&) { feed(core::SettingsLoaded{}); }
  void settings_failed(Words& words) { feed(core::SettingsFailed{rest_of(words)}); }

  void spawned(Words& words) {
    for (const WorkerId id : take_workers(words)) {
      feed(core::Spawned{id, kFirstPid + static_cast<pid_t>(id.value)});
    }
  }
  void spawn_failed(Words& words) {
    const WorkerId id = take_worker(words);
    feed(core::SpawnFailed{id, rest_of(words)});
  }
  void ready(Words& words) {
    for (const WorkerId id : take_workers(words)) feed(core::WorkerReady{id});
  }
  void up(Words& words) {
    for (const WorkerId id : take_workers(words)) {
      feed(core::Spawned{id, kFirstPid + static_cast<pid_t>(id.value)});
      feed(core::WorkerReady{id});
    }
  }
  void boot_failed(Words& words) {
    const WorkerId id = take_worker(words);
    const bool application = take_first(words) == "app";
    feed(core::WorkerBootFailed{
        id, application ? base::BootFailure::kApplication : base::BootFailure::kWorker,
        rest_of(words)});
  }
  void retiring(Words& words) {
    const WorkerId id = take_worker(words);
    feed(core::WorkerRetiring{id, to_cause(take_first(words))});
  }
  void inspected(Words& words) {
    core::Inspected seen;
    seen.worker = take_worker(words);
    seen.beat = now_;
    while (!words.empty()) {
      const auto [key, value] = key_and_value(take_first(words));
      if (key == "beat") {
        seen.beat = now_ - to_duration(value);
      } else if (key == "request") {
        seen.requests.push_back(
            {static_cast<std::uint32_t>(seen.requests.size() + 1), now_ - to_duration(value), ""});
      } else if (key == "thread") {
        seen.requests.at(seen.requests.size() - 1).thread =
            static_cast<std::uint32_t>(to_number(value));
      } else if (key == "free") {
        seen.free_threads = static_cast<std::uint32_t>(to_number(value));
      } else if (key == "sending") {
        seen.sending = static_cast<std::uint64_t>(to_number(value));
      } else if (key == "rss") {
        seen.rss = static_cast<std::uint64_t>(to_number(value)) << 20U;
      } else if (key == "in") {
        seen.requests.at(seen.requests.size() - 1).what = value + " " + take_first(words);
      } else {
        throw std::invalid_argument("not a part of an inspection: " + key);
      }
    }
    feed(seen);
  }
  void exited(Words& words) {
    std::vector<WorkerId> workers;
    core::ExitStatus status;
    auto out_of_memory = core::OutOfMemory::kNo;
    while (!words.empty()) {
      const auto [key, value] = key_and_value(take_first(words));
      if (key == "status") {
        status.code = static_cast<int>(to_number(value));
      } else if (key == "signal") {
        status.signal = to_signal(value);
      } else if (key == "core") {
        status.core_dumped = true;
      } else if (key == "unknown") {
        status.known = false;
      } else if (key == "oom") {
        out_of_memory =
            value == "certain" ? core::OutOfMemory::kCertain : core::OutOfMemory::kInferred;
      } else {
        for (const WorkerId id : to_workers(key)) workers.push_back(id);
      }
    }
    for (const WorkerId id : workers) feed(core::WorkerExited{id, status, out_of_memory});
  }

  void command(CommandId id, core::Command command) {
    feed(core::CommandReceived{id, std::move(command)});
  }
  void reload(Words& words) {
    const CommandId id = take_command_id(words);
    command(id, core::ReloadCommand{words.empty() ? "" : take_first(words)});
  }
  void scale(Words& words) {
    const CommandId id = take_command_id(words);
    core::ScaleCommand scale;
    if (words.size() > 1) scale.pool = take_first(words);
    const std::string amount = take_first(words);
    scale.relative = amount.starts_with('+') || amount.starts_with('-');
    scale.amount = to_number(amount);
    command(id, scale);
  }
  void ttin(Words&) { command({}, core::ScaleCommand{"", true, 1}); }
  void ttou(Words&) { command({}, core::ScaleCommand{"", true, -1}); }
  void stop_worker(Words& words, bool now) {
    const CommandId id = take_command_id(words);
    command(id, core::StopWorkerCommand{take_worker(words), now});
  }
  void restart(Words& words) { stop_worker(words, false); }
  void kill(Words& words) { stop_worker(words, true); }
  void shutdown(Words& words) {
    const CommandId id = take_command_id(words);
    command(id, core::ShutdownCommand{!words.empty() && words.front() == "quick"});
  }
  void winch(Words& words) { command(take_command_id(words), core::DormantCommand{}); }
  void reopen_logs(Words& words) { command(take_command_id(words), core::ReopenLogsCommand{}); }
  void logs_reopened(Words& words) {
    feed(core::LogsReopened{take_command_id(words), rest_of(words)});
  }
  void upgrade(Words& words) { command(take_command_id(words), core::UpgradeCommand{}); }
  void upgrade_checked(Words& words) {
    feed(core::UpgradeChecked{take_first(words) == "ok", rest_of(words)});
  }
  void upgrade_failed(Words& words) { feed(core::UpgradeFailed{rest_of(words)}); }
  // "upgraded" or "adopted", then "reload": another arbiter takes over what this one leaves.
  void succeed(Words& words) {
    fresh_settings_ = false;
    core::Resume resume;
    resume.pools = settings_;
    resume.inheritance = supervisor_->inheritance();
    resume.kind = take_first(words) == "upgraded" ? core::RecordKind::kUpgradeSucceeded
                                                  : core::RecordKind::kAdopted;
    resume.text = "another arbiter goes on";
    resume.reload = !words.empty() && words.front() == "reload";
    supervisor_ = std::make_unique<core::Supervisor>(1);
    feed(resume);
  }

  void healthy(Words& words) {
    if (!words.empty() && words.front() == "all") {
      all_healthy_ = true;
      return;
    }
    for (const WorkerId id : take_workers(words)) healthy_.insert(id);
  }
  void advance(Words& words) {
    const TimePoint until = now_ + to_duration(take_first(words));
    const std::string earlier = std::exchange(output_, {});
    std::string all = earlier;
    int turns = 0;
    for (auto due = supervisor_->next_deadline(); due && *due <= until;
         due = supervisor_->next_deadline()) {
      if (++turns > kMostTurns) throw std::runtime_error("deadlines without end");
      now_ = std::max(now_, *due);
      output_.clear();
      feed(core::DeadlineReached{});
      if (!output_.empty()) {
        all += fmt::format("at {:.3f}s\n", std::chrono::duration<double>(now_ - kBegin).count());
        all += output_;
      }
    }
    now_ = until;
    output_ = all;
  }
  void deadline(Words&) {
    const auto next = supervisor_->next_deadline();
    output_ += next ? "in " + core::to_text(*next - now_) + "\n" : "none\n";
  }
  void status(Words&) { output_ += print(supervisor_->snapshot(), now_); }

  static constexpr TimePoint kBegin{std::chrono::hours(1)};

  std::unique_ptr<core::Supervisor> supervisor_;
  TimePoint now_ = kBegin;
  std::vector<PoolSpec> settings_;
  bool fresh_settings_ = false;  // pools were named since the settings were last handed over
  std::set<WorkerId> healthy_;
  bool all_healthy_ = false;
  std::string output_;
};

const std::map<std::string, Interpreter::Command> Interpreter::kCommands = {
    {"pool", &Interpreter::pool},
    {"start", &Interpreter::start},
    {"settings-loaded", &Interpreter::settings_loaded},
    {"settings-empty", &Interpreter::settings_empty},
    {"settings-failed", &Interpreter::settings_failed},
    {"spawned", &Interpreter::spawned},
    {"spawn-failed", &Interpreter::spawn_failed},
    {"ready", &Interpreter::ready},
    {"up", &Interpreter::up},
    {"boot-failed", &Interpreter::boot_failed},
    {"retiring", &Interpreter::retiring},
    {"inspected", &Interpreter::inspected},
    {"exited", &Interpreter::exited},
    {"reload", &Interpreter::reload},
    {"scale", &Interpreter::scale},
    {"ttin", &Interpreter::ttin},
    {"ttou", &Interpreter::ttou},
    {"restart", &Interpreter::restart},
    {"kill", &Interpreter::kill},
    {"shutdown", &Interpreter::shutdown},
    {"winch", &Interpreter::winch},
    {"reopen-logs", &Interpreter::reopen_logs},
    {"logs-reopened", &Interpreter::logs_reopened},
    {"upgrade", &Interpreter::upgrade},
    {"upgrade-checked", &Interpreter::upgrade_checked},
    {"upgrade-failed", &Interpreter::upgrade_failed},
    {"succeed", &Interpreter::succeed},
    {"healthy", &Interpreter::healthy},
    {"advance", &Interpreter::advance},
    {"deadline", &Interpreter::deadline},
    {"status", &Interpreter::status},
};

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Lines that differ, with the line number in the file as it is.
std::string difference(const std::string& expected, const std::string& actual) {
  std::istringstream left(expected);
  std::istringstream right(actual);
  std::string text;
  std::string from;
  std::string to;
  for (int number = 1;; ++number) {
    const bool has_left = static_cast<bool>(std::getline(left, from));
    const bool has_right = static_cast<bool>(std::getline(right, to));
    if (!has_left && !has_right) return text;
    if (has_left && has_right && from == to) continue;
    if (has_left) text += fmt::format("{:4} expected: {}\n", number, from);
    if (has_right) text += fmt::format("{:4} actual:   {}\n", number, to);
  }
}

}  // namespace

std::string run(const std::string& text) {
  Interpreter interpreter;
  std::istringstream lines(text);
  std::string result;
  std::string output;
  bool in_output = false;
  for (std::string line; std::getline(lines, line);) {
    if (in_output) {
      // The old output, up to the blank line that ends it.
      if (!line.empty()) continue;
      in_output = false;
    }
    if (line == kSeparator) {
      result += line + "\n" + (output.empty() ? "nothing\n" : output);
      output.clear();
      in_output = true;
      continue;
    }
    // What is in the file's last block without a blank line after it ends here too.
    result += line + "\n";
    if (!line.empty() && !line.starts_with('#')) output += interpreter.run(line);
  }
  return result;
}

std::string check_file(const std::string& path, bool rewrite) {
  const std::string expected = read_file(path);
  const std::string actual = run(expected);
  if (actual == expected) return {};
  if (rewrite) {
    std::ofstream(path) << actual;
    return {};
  }
  return difference(expected, actual);
}

}  // namespace corn::scenarios
