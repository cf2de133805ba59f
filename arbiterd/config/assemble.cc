// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/assemble.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

namespace fs = std::filesystem;

// Longest path of a unix socket, without the terminating zero of sun_path (unix(7)).
constexpr std::size_t kLongestSocketPath = 107;
constexpr std::string_view kUnix = "unix:";

std::string absolute(const std::string& directory, const std::string& path) {
  std::string result = (fs::path(directory) / path).lexically_normal().string();
  if (result.size() > 1 && result.ends_with('/')) result.pop_back();
  return result;
}

// A log's name; "-" is a standard stream.
std::string absolute_log(const std::string& directory, const std::string& path) {
  return path.empty() || path == "-" ? path : absolute(directory, path);
}

// Workers and arbiter need not share a working directory, so that a socket's path must not depend
// on it.
std::string absolute_address(const std::string& directory, const std::string& address) {
  if (!address.starts_with(kUnix)) return address;
  std::string path = address.substr(kUnix.size());
  if (path.starts_with("//")) path.erase(0, 2);
  if (path.starts_with("@")) return std::string(kUnix) + path;
  return std::string(kUnix) + absolute(directory, path);
}

// The same for what may stand before a path ("unix:", "unix://") and behind it ("#dgram").
std::string absolute_outlet(const std::string& directory, const std::string& address) {
  if (!address.starts_with(kUnix)) return address;
  const std::size_t hash = std::min(address.find('#'), address.size());
  std::string path = address.substr(kUnix.size(), hash - kUnix.size());
  const bool slashes = path.starts_with("//");
  if (slashes) path.erase(0, 2);
  return std::string(kUnix) + (slashes ? "//" : "") + absolute(directory, path) +
         address.substr(hash);
}

std::string socket_path_problem(const std::string& address) {
  if (!address.starts_with(kUnix)) return "";
  const std::size_t size = address.size() - kUnix.size();
  if (size <= kLongestSocketPath) return "";
  return fmt::format("the socket's path has {} bytes; at most {} are possible", size,
                     kLongestSocketPath);
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_virtual_environment(const std::string& path) {
  std::error_code error;
  return fs::exists(path + "/pyvenv.cfg", error) || fs::exists(path + "/bin/python", error);
}

Value capped(const Setting& setting, const Value& value) {
  return is_over_ceiling(setting, value) ? Value(setting.ceiling) : value;
}

// Every setting that `belongs`, in the table's order.
std::vector<EffectiveValue> effective_values(const InForceByName& in_force,
                                             bool (*belongs)(const Setting&)) {
  std::vector<EffectiveValue> values;
  for (const Setting& setting : schema()) {
    if (!belongs(setting) || setting.support == Support::kRefused) continue;
    const InForce& value = in_force.at(setting.name);
    if (setting.kind == Kind::kHook && !value.value.is_set()) continue;
    values.push_back({std::string(setting.name), to_toml(setting.kind, value.value), value.origin});
  }
  return values;
}

void show(std::vector<EffectiveValue>& values, std::string_view name, const Value& value) {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const EffectiveValue& v) { return v.name == name; });
  CORN_CHECK(found != values.end());
  found->value = to_toml(find_setting(name)->kind, value);
}

class PoolAssembly {
 public:
  PoolAssembly(PoolSettings& pool, const InForceByName& in_force, const Invocation& invocation,
               Problems& problems)
      : pool_(pool), in_force_(in_force), invocation_(invocation), problems_(problems) {}

  void settle() {
    for (const Setting& setting : schema()) {
      if (!for_pool(setting) || setting.to_pool == nullptr) continue;
      if (const Value& value = in_force_.at(setting.name).value; value.is_set()) {
        setting.to_pool(capped(setting, value), pool_);
      }
    }
    pool_.effective = effective_values(in_force_, for_pool);
    for (const Setting& setting : schema()) {
      if (setting.ceiling == 0) continue;
      const Value& value = in_force_.at(setting.name).value;
      if (is_over_ceiling(setting, value)) {
        show(pool_.effective, setting.name, capped(setting, value));
      }
    }
    settle_directories();
    settle_addresses();
    settle_logs();
    settle_limits();
    for (std::string& path : pool_.reload_extra_files) {
      path = absolute(invocation_.working_directory, path);
    }
    settle_hooks();
  }

 private:
  [[nodiscard]] bool is_given(std::string_view name) const {
    return in_force_.at(name).value.is_set();
  }

  void settle_directories() {
    base::WorkerConfig& worker = pool_.worker;
    worker.working_directory = absolute(invocation_.working_directory, worker.working_directory);
    show(pool_.effective, "chdir", Value(worker.working_directory));
    if (is_given("chdir"))
      require("chdir", is_directory(worker.working_directory), "there is no such directory");

    // Each of gunicorn's goes before all the others, so that the last one written comes first.
    std::reverse(worker.python_path.begin(), worker.python_path.end());
    for (std::string& directory : worker.python_path) directory = here(directory);

    if (!worker.virtual_env.empty()) {
      worker.virtual_env = here(worker.virtual_env);
      require("venv", is_virtual_environment(worker.virtual_env),
              "this is no virtual environment: it has neither pyvenv.cfg nor bin/python");
    }
    if (is_given("tmp_upload_dir")) {
      worker.upload_directory = here(worker.upload_directory);
      require("tmp_upload_dir", is_directory(worker.upload_directory),
              "there is no such directory");
    } else {
      const auto directory = invocation_.environment.find("TMPDIR");
      const bool usable = directory != invocation_.environment.end() && !directory->second.empty();
      worker.upload_directory = usable ? here(directory->second) : "/tmp";
      show(pool_.effective, "tmp_upload_dir", Value(worker.upload_directory));
    }
  }

  void settle_addresses() {
    for (std::string& address : pool_.binds) {
      address = absolute_address(pool_.worker.working_directory, address);
      const std::string problem = socket_path_problem(address);
      require("bind", problem.empty(), problem);
    }
  }

  void settle_logs() {
    pool_.worker.access_log = absolute_log(pool_.worker.working_directory, pool_.worker.access_log);
    pool_.worker.error_log = absolute_log(pool_.worker.working_directory, pool_.worker.error_log);
    settle_file("logconfig", pool_.worker.log_config_file);
    settle_file("logconfig_json", pool_.worker.log_config_json);
    // The strongest of them alone, as in gunicorn.
    if (!pool_.worker.log_config_dict.empty()) pool_.worker.log_config_json.clear();
    if (!pool_.worker.log_config_dict.empty() || !pool_.worker.log_config_json.empty()) {
      pool_.worker.log_config_file.clear();
    }
    pool_.worker.statsd.address =
        absolute_outlet(pool_.worker.working_directory, pool_.worker.statsd.address);
    pool_.worker.syslog.address =
        absolute_outlet(pool_.worker.working_directory, pool_.worker.syslog.address);
  }

  void settle_file(std::string_view name, std::string& path) {
    if (path.empty()) return;
    path = here(path);
    require(name, ::access(path.c_str(), R_OK) == 0, "there is no such file that can be read");
  }

  void settle_limits() {
    base::WorkerConfig& worker = pool_.worker;
    if (!is_given("header_timeout")) {
      worker.header_timeout = worker.timeout;
      show(pool_.effective, "header_timeout", in_force_.at("timeout").value);
    }
    if (!is_given("body_timeout")) {
      worker.body_timeout = worker.timeout;
      show(pool_.effective, "body_timeout", in_force_.at("timeout").value);
    }
    if (worker.worker_class == base::WorkerClass::kSync && worker.threads > 1) {
      worker.worker_class = base::WorkerClass::kThreads;
    }
  }

  void settle_hooks() {
    for (const Setting& setting : schema()) {
      if (setting.kind != Kind::kHook || setting.support == Support::kRefused) continue;
      if (is_given(setting.name)) pool_.hooks.emplace_back(setting.name);
    }
    require("preload_warm_up", pool_.worker.warm_up.empty() || pool_.worker.preload,
            "there is nothing to warm up without preload_app");
    // What the old worker saves in its hook is there for the new one to load.
    if (in_force_.at("handover").origin == "default" && pool_.spec.workers == 1 &&
        pool_.has_hook("worker_exit")) {
      pool_.spec.handover = core::Handover::kExclusive;
      show(pool_.effective, "handover", Value(std::string("exclusive")));
    }
  }

  [[nodiscard]] std::string here(const std::string& path) const {
    return absolute(pool_.worker.working_directory, path);
  }

  void require(std::string_view name, bool holds, std::string_view otherwise) {
    if (!holds) problems_.add(in_force_.at(name).prefix + std::string(otherwise));
  }

  PoolSettings& pool_;
  const InForceByName& in_force_;
  const Invocation& invocation_;
  Problems& problems_;
};

}  // namespace

bool is_over_ceiling(const Setting& setting, const Value& value) {
  return setting.ceiling != 0 && value.is_set() && value.number() > setting.ceiling;
}

ArbiterSettings assemble_arbiter(const InForceByName& in_force, const std::string& directory,
                                 Problems& problems) {
  ArbiterSettings arbiter;
  for (const Setting& setting : schema()) {
    if (!for_arbiter(setting) || setting.to_arbiter == nullptr) continue;
    if (const Value& value = in_force.at(setting.name).value; value.is_set()) {
      setting.to_arbiter(value, arbiter);
    }
  }
  arbiter.effective = effective_values(in_force, for_arbiter);
  arbiter.log.path = absolute_log(directory, arbiter.log.path);
  arbiter.statsd.address = absolute_outlet(directory, arbiter.statsd.address);
  arbiter.syslog.address = absolute_outlet(directory, arbiter.syslog.address);
  if (!arbiter.pid_file.empty()) arbiter.pid_file = absolute(directory, arbiter.pid_file);
  if (!arbiter.control.empty()) {
    arbiter.control = absolute_address(directory, arbiter.control);
    const std::string problem = socket_path_problem(arbiter.control);
    if (!problem.empty()) problems.add(in_force.at("control").prefix + problem);
  }
  if (!arbiter.workerd.empty()) {
    arbiter.workerd = absolute(directory, arbiter.workerd);
    if (is_directory(arbiter.workerd) || ::access(arbiter.workerd.c_str(), X_OK) != 0) {
      problems.add(in_force.at("workerd").prefix + "there is no program that can be executed");
    }
  }
  return arbiter;
}

PoolSettings assemble_pool(const std::string& name, const std::string& where,
                           const InForceByName& in_force, const Invocation& invocation,
                           Problems& problems) {
  PoolSettings pool;
  pool.spec.name = name;
  pool.worker.pool = name;
  PoolAssembly(pool, in_force, invocation, problems).settle();
  if (invocation.script && pool.worker.application.empty()) {
    pool.worker.application = fs::path(invocation.config_file).filename().string();
  }
  // Whose settings are wrong elsewhere may have named one there: a wrong table, a refused option.
  const bool may_be_elsewhere = where.empty() && !problems.empty();
  if (pool.worker.application.empty() && !in_force.at("wsgi_app").value.is_set() &&
      !may_be_elsewhere) {
    problems.add(fmt::format(
        "{}No application module specified. {}", where.empty() ? "" : where + ": ",
        where.empty() ? "Name it on the command line, as in: arbiterd module:callable; or as "
                        "wsgi_app in a configuration file."
                      : "Name it as wsgi_app = \"module:callable\"."));
  }
  return pool;
}

void check_binds(const std::vector<PoolSettings>& pools, Problems& problems) {
  std::map<std::string, std::string> owner;  // of an address
  for (const PoolSettings& pool : pools) {
    for (const std::string& bind : pool.binds) {
      if (bind.ends_with(":0")) continue;  // the kernel chooses a port for each
      const auto [entry, is_new] = owner.emplace(lowercase(bind), pool.spec.name);
      if (is_new) continue;
      if (entry->second == pool.spec.name) {
        problems.add(fmt::format("bind: {} is named twice", bind));
      } else {
        problems.add(fmt::format(
            "bind: the pools {} and {} both listen on {}; each pool wants addresses of its own",
            entry->second, pool.spec.name, bind));
      }
    }
  }
}

}  // namespace corn::config
