// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "arbiterd/config/formats.h"
#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

std::vector<Setting> application_settings() {
  return {
      {.name = "wsgi_app",
       .placeholder = "APP",
       .group = Group::kApplication,
       .help = "The application: MODULE:CALLABLE, MODULE (for MODULE:application) or "
               "MODULE:FACTORY(). On the command line it is the argument APP.",
       .problem = application_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.application = v.text(); }},
      {.name = "chdir",
       .flags = "--chdir",
       .placeholder = "DIR",
       .group = Group::kApplication,
       .default_note = "where arbiterd was started",
       .help = "Directory in which workers run; modules are looked for in it.",
       .more = "Relative paths of the pool's other settings start from it.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.working_directory = v.text(); }},
      {.name = "pythonpath",
       .flags = "--pythonpath",
       .placeholder = "DIR[,DIR]",
       .kind = Kind::kCommaList,
       .group = Group::kApplication,
       .help = "More directories to look for modules in, before all others.",
       .more = "As in gunicorn, the last of several is searched first.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.python_path = v.list(); }},
      {.name = "venv",
       .flags = "--venv",
       .placeholder = "DIR",
       .group = Group::kApplication,
       .gunicorn = false,
       .environment = "VIRTUAL_ENV",
       .help = "Virtual environment whose Python packages the application sees.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.virtual_env = v.text(); }},
      {.name = "raw_env",
       .flags = "-e, --env",
       .placeholder = "NAME=VALUE",
       .kind = Kind::kTextList,
       .group = Group::kApplication,
       .wanted = "NAME=VALUE, or a list of such texts,",
       .help = "Environment variable of the workers; may be given several times.",
       .repeatable = true,
       .problem = environment_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.environment = v.list(); }},
  };
}

std::vector<Setting> development_settings() {
  return {
      {.name = "reload",
       .flags = "--reload",
       .kind = Kind::kSwitch,
       .group = Group::kApplication,
       .default_text = "false",
       .help = "Reload when a file of the application's code changes. For development.",
       .more =
           "Watched are the files of all modules that workers have loaded or failed to load, the "
           "configuration file, and reload_extra_files. It is a reload as by HUP: code that "
           "can't be loaded is shown in the log, and the old code goes on serving.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.report_files = v.on(); }},
      {.name = "reload_extra_files",
       .flags = "--reload-extra-file",
       .placeholder = "FILE",
       .kind = Kind::kTextList,
       .group = Group::kApplication,
       .help = "More files that reload watches; may be given several times. Patterns with *, ? and "
               "[...] in names and ** for directories are looked for again and again.",
       .more =
           "Relative paths start from where arbiterd was started. Neither files nor directories "
           "need exist.",
       .repeatable = true,
       .to_pool = [](const Value& v, PoolSettings& p) { p.reload_extra_files = v.list(); }},
  };
}

std::vector<Setting> listening_settings() {
  return {
      {.name = "bind",
       .flags = "-b, --bind",
       .placeholder = "ADDRESS",
       .kind = Kind::kCommaList,
       .group = Group::kListening,
       .default_text = "127.0.0.1:8000",
       .default_note = "127.0.0.1:8000, or 0.0.0.0:$PORT",
       .wanted = "HOST:PORT, [IPV6-ADDRESS]:PORT, unix:PATH, fd://NUMBER, or a list of these,",
       .help = "Where to listen: HOST:PORT, [ADDRESS]:PORT, unix:PATH or fd://NUMBER; may be given "
               "several times.",
       .more = "Port 0 lets the kernel choose one. The variable PORT makes the default "
               "0.0.0.0:$PORT.",
       .repeatable = true,
       .problem = bind_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.binds = v.list(); }},
      {.name = "backlog",
       .flags = "--backlog",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kListening,
       .default_text = "2048",
       .maximum = std::numeric_limits<std::int32_t>::max(),
       .help = "Connections that may wait to be accepted.",
       .more = "The kernel caps it at /proc/sys/net/core/somaxconn.",
       .on_reload = OnReload::kNewListeners,
       .to_pool = [](const Value& v, PoolSettings& p) { p.backlog = v.u32(); }},
      {.name = "reuse_port",
       .flags = "--reuse-port",
       .kind = Kind::kSwitch,
       .group = Group::kListening,
       .default_text = "false",
       .help = "Open TCP listeners with SO_REUSEPORT.",
       .on_reload = OnReload::kNewListeners,
       .to_pool = [](const Value& v, PoolSettings& p) { p.reuse_port = v.on(); }},
  };
}

}  // namespace

std::vector<Setting> serving_settings() {
  std::vector<Setting> settings = application_settings();
  for (const Setting& setting : development_settings()) settings.push_back(setting);
  for (const Setting& setting : listening_settings()) settings.push_back(setting);
  return settings;
}

}  // namespace corn::config
