// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/instance_state.h"

#include <fmt/core.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace corn::driver {
namespace {

using nlohmann::json;

// Of an enumeration whose first value is 0 and last value `last`.
template <typename Enum>
Enum to_enum(const json& value, Enum last) {
  const int number = value.get<int>();
  if (number < 0 || number > static_cast<int>(last)) throw std::out_of_range("a number of a list");
  return static_cast<Enum>(number);
}
template <typename Enum>
std::optional<Enum> to_optional(const json& value, Enum last) {
  if (value.is_null()) return std::nullopt;
  return to_enum(value, last);
}
template <typename Enum>
json from_optional(const std::optional<Enum>& value) {
  return value ? json(static_cast<int>(*value)) : json();
}

json from_time(base::TimePoint time) { return base::to_nanoseconds(time); }
base::TimePoint to_time(const json& value) {
  return base::TimePoint(std::chrono::nanoseconds(value.get<std::int64_t>()));
}
json from_wall(WallTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}
WallTime to_wall(const json& value) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(
      std::chrono::nanoseconds(value.get<std::int64_t>())));
}

json from_exit(const std::optional<core::ExitStatus>& exit) {
  if (!exit) return {};
  return json::array({exit->known, exit->code, exit->signal, exit->core_dumped,
                      exit->cpu_time.count(), exit->max_rss_bytes, exit->request,
                      exit->in_request});
}
std::optional<core::ExitStatus> to_exit(const json& value) {
  if (value.is_null()) return std::nullopt;
  core::ExitStatus exit{value.at(0).get<bool>(), value.at(1).get<int>(), value.at(2).get<int>(),
                        value.at(3).get<bool>()};
  if (value.size() < 8) return exit;  // of an older version
  exit.cpu_time = base::Duration(value.at(4).get<std::int64_t>());
  exit.max_rss_bytes = value.at(5).get<std::uint64_t>();
  exit.request = value.at(6).get<std::string>();
  exit.in_request = value.at(7).get<bool>();
  return exit;
}

json from_event(const HistoryEvent& event) {
  const core::Record& record = event.record;
  return {{"sequence", event.sequence},
          {"time", from_wall(event.time)},
          {"kind", static_cast<int>(record.kind)},
          {"pool", record.pool},
          {"worker", record.worker ? json(record.worker->value) : json()},
          {"pid", record.pid},
          {"generation", record.generation},
          {"cause", from_optional(record.cause)},
          {"exit", from_exit(record.exit)},
          {"text", record.text}};
}
HistoryEvent to_event(const json& value) {
  HistoryEvent event;
  event.sequence = value.at("sequence").get<std::uint64_t>();
  event.time = to_wall(value.at("time"));
  core::Record& record = event.record;
  record.kind = to_enum(value.at("kind"), core::RecordKind::kRequestSlow);
  record.pool = value.at("pool").get<std::string>();
  if (!value.at("worker").is_null()) {
    record.worker = core::WorkerId{value.at("worker").get<std::uint64_t>()};
  }
  record.pid = value.at("pid").get<pid_t>();
  record.generation = value.at("generation").get<std::uint64_t>();
  record.cause = to_optional(value.at("cause"), core::Cause::kShutdown);
  record.exit = to_exit(value.at("exit"));
  record.text = value.at("text").get<std::string>();
  return event;
}

json from_worker(const core::InheritedWorker& worker, const WorkerRecord& record) {
  return {{"id", worker.id.value},
          {"pid", worker.pid},
          {"state", static_cast<int>(worker.state)},
          {"generation", worker.generation},
          {"age", worker.age},
          {"spawned_at", from_time(worker.spawned_at)},
          {"ready_at", worker.ready_at ? from_time(*worker.ready_at) : json()},
          {"end_cause", from_optional(worker.end_cause)},
          {"wish", from_optional(worker.wish)},
          {"start_time", record.start_time},
          {"channel", record.channel},
          {"scoreboard", record.scoreboard},
          {"pidfd", record.pidfd}};
}
core::InheritedWorker to_worker(const json& value, InstanceState& state) {
  core::InheritedWorker worker;
  worker.id = core::WorkerId{value.at("id").get<std::uint64_t>()};
  worker.pid = value.at("pid").get<pid_t>();
  if (worker.pid <= 0) throw std::out_of_range("a pid");
  worker.state = to_enum(value.at("state"), core::WorkerState::kStopping);
  worker.generation = value.at("generation").get<std::uint64_t>();
  worker.age = value.at("age").get<std::uint32_t>();
  worker.spawned_at = to_time(value.at("spawned_at"));
  if (!value.at("ready_at").is_null()) worker.ready_at = to_time(value.at("ready_at"));
  worker.end_cause = to_optional(value.at("end_cause"), core::Cause::kShutdown);
  worker.wish = to_optional(value.at("wish"), core::Cause::kShutdown);
  state.workers[worker.id] = {value.at("start_time").get<std::uint64_t>(),
                              value.at("channel").get<int>(), value.at("scoreboard").get<int>(),
                              value.at("pidfd").get<int>()};
  return worker;
}

json from_listener(const ListenerRecord& listener) {
  return {
      {"bind", listener.bind},
      {"inode", listener.inode},
      {"file", listener.file ? json::array({listener.file->device, listener.file->inode}) : json()},
      {"descriptor", listener.descriptor},
      {"activated", listener.activated}};
}
ListenerRecord to_listener(const json& value) {
  ListenerRecord listener;
  listener.bind = value.at("bind").get<std::string>();
  listener.inode = value.at("inode").get<std::uint64_t>();
  if (const json& file = value.at("file"); !file.is_null()) {
    listener.file = {file.at(0).get<dev_t>(), file.at(1).get<ino_t>()};
  }
  listener.descriptor = value.at("descriptor").get<int>();
  listener.activated = value.value("activated", false);  // an older version has none
  return listener;
}

json from_pool(const core::InheritedPool& pool, const InstanceState& state) {
  json workers = json::array();
  for (const core::InheritedWorker& worker : pool.workers) {
    const auto found = state.workers.find(worker.id);
    workers.push_back(
        from_worker(worker, found != state.workers.end() ? found->second : WorkerRecord()));
  }
  json value = {{"name", pool.name},
                {"configured", pool.configured},
                {"target", pool.target},
                {"generation", pool.generation},
                {"last_generation", pool.last_generation},
                {"last_age", pool.last_age},
                {"restarts", pool.restarts},
                {"dormant", pool.dormant},
                {"workers", std::move(workers)},
                {"settings", ""},
                {"requests", 0},
                {"errors", 0},
                {"latency", json::array()},
                {"listeners", json::array()},
                {"hand_off", json::array({-1, -1})}};
  const auto found = state.pools.find(pool.name);
  if (found == state.pools.end()) return value;
  value["settings"] = found->second.settings;
  value["requests"] = found->second.totals.requests;
  value["errors"] = found->second.totals.errors;
  value["latency"] = found->second.totals.latency;
  for (const ListenerRecord& listener : found->second.listeners) {
    value["listeners"].push_back(from_listener(listener));
  }
  value["hand_off"] = {found->second.hand_off_in, found->second.hand_off_out};
  return value;
}
core::InheritedPool to_pool(const json& value, InstanceState& state) {
  core::InheritedPool pool;
  pool.name = value.at("name").get<std::string>();
  pool.configured = value.at("configured").get<std::uint32_t>();
  pool.target = value.at("target").get<std::uint32_t>();
  if (pool.target < 1 || pool.target > core::kMaxWorkers) throw std::out_of_range("a target");
  pool.generation = value.at("generation").get<std::uint64_t>();
  pool.last_generation = value.at("last_generation").get<std::uint64_t>();
  pool.last_age = value.at("last_age").get<std::uint32_t>();
  pool.restarts = value.at("restarts").get<std::uint64_t>();
  pool.dormant = value.at("dormant").get<bool>();
  for (const json& worker : value.at("workers")) pool.workers.push_back(to_worker(worker, state));
  PoolRecord& record = state.pools[pool.name];
  record.settings = value.at("settings").get<std::string>();
  record.totals.requests = value.at("requests").get<std::uint64_t>();
  record.totals.errors = value.at("errors").get<std::uint64_t>();
  const json& latency = value.at("latency");
  for (std::size_t i = 0; i < latency.size() && i < record.totals.latency.size(); ++i) {
    record.totals.latency[i] = latency[i].get<std::uint64_t>();
  }
  for (const json& listener : value.at("listeners")) {
    record.listeners.push_back(to_listener(listener));
  }
  if (const auto ends = value.find("hand_off"); ends != value.end()) {
    record.hand_off_in = ends->at(0).get<int>();
    record.hand_off_out = ends->at(1).get<int>();
  }
  return pool;
}

// What keep_unchangeable() and unchangeable_differences() look at.
json from_kept(const config::ArbiterSettings& kept) {
  json effective = json::array();
  for (const config::EffectiveValue& value : kept.effective) {
    effective.push_back({value.name, value.value, value.origin});
  }
  return {{"name", kept.name},
          {"default_proc_name", kept.default_proc_name},
          {"control", kept.control},
          {"pid_file", kept.pid_file},
          {"daemon", kept.daemon},
          {"worker_cgroups", kept.worker_cgroups},
          {"effective", std::move(effective)}};
}
config::ArbiterSettings to_kept(const json& value) {
  config::ArbiterSettings kept;
  kept.name = value.at("name").get<std::string>();
  kept.default_proc_name = value.at("default_proc_name").get<std::string>();
  kept.control = value.at("control").get<std::string>();
  kept.pid_file = value.at("pid_file").get<std::string>();
  kept.daemon = value.at("daemon").get<bool>();
  kept.worker_cgroups = value.at("worker_cgroups").get<std::string>();
  for (const json& setting : value.at("effective")) {
    kept.effective.push_back({setting.at(0).get<std::string>(), setting.at(1).get<std::string>(),
                              setting.at(2).get<std::string>()});
  }
  return kept;
}

}  // namespace

std::string to_text(const InstanceState& state) {
  json history = json::array();
  for (const HistoryEvent& event : state.history) history.push_back(from_event(event));
  json pools = json::array();
  for (const core::InheritedPool& pool : state.inheritance.pools) {
    pools.push_back(from_pool(pool, state));
  }
  const json value = {{"format", kStateFormat},
                      {"version", state.version},
                      {"machine", state.machine},
                      {"pid", state.pid},
                      {"started_at", from_wall(state.started_at)},
                      {"started", from_time(state.started)},
                      {"upgrades", state.upgrades},
                      {"last_sequence", state.last_sequence},
                      {"history", std::move(history)},
                      {"last_worker", state.inheritance.last_worker.value},
                      {"reloads", state.inheritance.reloads},
                      {"reloading", state.inheritance.reloading},
                      {"pools", std::move(pools)},
                      {"lock", state.lock},
                      {"descriptor_limit", state.descriptor_limit},
                      {"instance", state.instance},
                      {"kept", from_kept(state.kept)},
                      {"log", state.log},
                      {"trial", state.trial}};
  // Tracebacks may hold any bytes.
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

base::Result<InstanceState> read_state(std::string_view text) {
  try {
    const json value = json::parse(text);
    const int format = value.at("format").get<int>();
    if (format > kStateFormat) {
      return base::fail(
          fmt::format("the running arbiter's state has format {} (written by version {}), this "
                      "program, version "
                      "{}, knows formats up to {}: it is older",
                      format, value.value("version", "unknown"), CORN_VERSION, kStateFormat));
    }
    InstanceState state;
    state.version = value.at("version").get<std::string>();
    state.machine = value.at("machine").get<std::string>();
    state.pid = value.at("pid").get<pid_t>();
    state.started_at = to_wall(value.at("started_at"));
    state.started = to_time(value.at("started"));
    state.upgrades = value.at("upgrades").get<std::uint64_t>();
    state.last_sequence = value.at("last_sequence").get<std::uint64_t>();
    for (const json& event : value.at("history")) state.history.push_back(to_event(event));
    state.inheritance.last_worker = core::WorkerId{value.at("last_worker").get<std::uint64_t>()};
    state.inheritance.reloads = value.at("reloads").get<std::uint64_t>();
    state.inheritance.reloading = value.at("reloading").get<bool>();
    for (const json& pool : value.at("pools")) {
      state.inheritance.pools.push_back(to_pool(pool, state));
    }
    state.lock = value.at("lock").get<int>();
    state.descriptor_limit = value.at("descriptor_limit").get<std::uint64_t>();
    // An older version has none of these.
    state.instance = value.value("instance", "");
    if (const auto kept = value.find("kept"); kept != value.end()) state.kept = to_kept(*kept);
    state.log = value.value("log", -1);
    state.trial = value.value("trial", "");
    return state;
  } catch (const std::exception& error) {
    return base::fail(fmt::format("not an arbiter's state: {}", error.what()));
  }
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::string fingerprint(const config::PoolSettings& settings) {
  // FNV-1a, which gives every program the same number.
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    hash *= 0x100000001b3U;
  };
  for (const auto& setting : settings.effective) {
    add(setting.name);
    add(setting.value);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace corn::driver
