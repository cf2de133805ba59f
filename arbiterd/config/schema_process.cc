// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/formats.h"
#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

base::LogLevel log_level_named(const std::string& name) {
  if (name == "debug") return base::LogLevel::kDebug;
  if (name == "warning") return base::LogLevel::kWarning;
  if (name == "error") return base::LogLevel::kError;
  if (name == "critical") return base::LogLevel::kCritical;
  return base::LogLevel::kInfo;
}

constexpr std::string_view kCgroupForms =
    "off, auto or the absolute path of a memory control group is wanted";

std::vector<Setting> logs() {
  return {
      {.name = "accesslog",
       .flags = "--access-logfile",
       .placeholder = "FILE",
       .group = Group::kLogging,
       .default_note = "none",
       .help = "File for a line about each request; - is standard output.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.access_log = v.text(); }},
      {.name = "access_log_format",
       .flags = "--access-logformat",
       .placeholder = "FORMAT",
       .group = Group::kLogging,
       .default_text = R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s")",
       .default_note = "the common log format with referrer and user agent",
       .help = "What such a line says, in gunicorn's notation.",
       .more =
           "Atoms: h remote address, l -, u user, t date, r request line, m method, U path, q "
           "query, H protocol, s status, b and B bytes of the body, f referrer, a user agent, "
           "T, M, D and L duration in s, ms, us and decimal s, p pid, {name}i and {name}o "
           "request and response headers, {name}e variables of the WSGI environ. Corn's own: time "
           "in ISO 8601, pid the number alone. What is sent by clients is escaped, with log_format "
           "json as JSON wants it.",
       .problem = access_format_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.access_log_format = v.text(); }},
      {.name = "errorlog",
       .flags = "--error-logfile, --log-file",
       .placeholder = "FILE",
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_text = "-",
       .help = "File for everything else; - is standard error.",
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.log.path = v.text(); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.error_log = v.text(); }},
      {.name = "loglevel",
       .flags = "--log-level",
       .placeholder = "LEVEL",
       .kind = Kind::kChoice,
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_text = "info",
       .choices = "debug|info|warning|error|critical",
       .help = "Least level that goes to the error log: debug, info, warning, error or critical.",
       .to_arbiter = [](const Value& v,
                        ArbiterSettings& a) { a.log.level = log_level_named(v.text()); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.log_level = v.text(); }},
      {.name = "log_format",
       .flags = "--log-format",
       .placeholder = "FORM",
       .kind = Kind::kChoice,
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .gunicorn = false,
       .default_text = "text",
       .choices = "text|json",
       .help = "Form of the logs: text as gunicorn's, or json, an object a line.",
       .more = "An access_log_format of one's own stays as it is; only what is filled in is then "
               "written as JSON strings have it.",
       .to_arbiter =
           [](const Value& v, ArbiterSettings& a) {
             a.log.format = v.text() == "json" ? base::LogFormat::kJson : base::LogFormat::kText;
           },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.log_json = v.text() == "json"; }},
      {.name = "capture_output",
       .flags = "--capture-output",
       .kind = Kind::kSwitch,
       .group = Group::kLogging,
       .default_text = "false",
       .help = "Send the application's standard output and error to the error log.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.capture_output = v.on(); }},
  };
}

std::vector<Setting> process() {
  return {
      {.name = "proc_name",
       .flags = "-n, --name",
       .placeholder = "NAME",
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .default_note = "from the application, directory and listeners",
       .help = "Name of the instance, in process titles and for cornctl -i.",
       .on_reload = OnReload::kRestart,
       .problem = instance_name_problem,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.name = v.text(); }},
      {.name = "default_proc_name",
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .default_note = "the application",
       .help = "Name in process titles when proc_name is not set.",
       .on_reload = OnReload::kRestart,
       .problem = instance_name_problem,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.default_proc_name = v.text(); }},
      {.name = "control",
       .flags = "--control",
       .placeholder = "unix:PATH",
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .gunicorn = false,
       .default_note = "a socket in the runtime directory",
       .help = "Where cornctl reaches this instance.",
       .on_reload = OnReload::kRestart,
       .problem = control_problem,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.control = v.text(); }},
      {.name = "pidfile",
       .flags = "-p, --pid",
       .placeholder = "FILE",
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .default_note = "none",
       .help = "File that holds the arbiter's process id while it runs.",
       .on_reload = OnReload::kRestart,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.pid_file = v.text(); }},
      {.name = "daemon",
       .flags = "-D, --daemon",
       .kind = Kind::kSwitch,
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .default_text = "false",
       .help = "Detach from the terminal and run in the background.",
       .on_reload = OnReload::kRestart,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.daemon = v.on(); }},
      {.name = "user",
       .flags = "-u, --user",
       .placeholder = "USER",
       .group = Group::kProcess,
       .default_note = "unchanged",
       .wanted = "the name or number of a user",
       .help = "User that workers run as, by name or number.",
       .numeric_text = true,
       .problem = user_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.user = v.text(); }},
      {.name = "group",
       .flags = "-g, --group",
       .placeholder = "GROUP",
       .group = Group::kProcess,
       .default_note = "unchanged",
       .wanted = "the name or number of a group",
       .help = "Group that workers run as, by name or number.",
       .numeric_text = true,
       .problem = group_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.group = v.text(); }},
      {.name = "umask",
       .flags = "-m, --umask",
       .placeholder = "MASK",
       .kind = Kind::kMask,
       .group = Group::kProcess,
       .default_note = "unchanged; 0 for unix sockets",
       .help = "Mode bits that files of the workers and unix sockets don't get, in octal: 022.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.umask = v.u32(); }},
      {.name = "worker_cgroups",
       .flags = "--worker-cgroups",
       .placeholder = "DIRECTORY",
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .gunicorn = false,
       .default_text = "off",
       .wanted = "off, auto or the absolute path of a memory control group",
       .help = "Gives each worker a memory control group of its own, so that an end out of memory "
               "is certain: in this control group, or with auto in the arbiter's own.",
       .more = "A group of version 2 must have no processes and be arbiterd's to write to; auto "
               "works with version 1 only. Moving a worker into its group takes the kernel up to "
               "20 ms, in which no process of the machine can fork.",
       .on_reload = OnReload::kRestart,
       .problem =
           [](const Value& v) {
             const std::string& text = v.text();
             const bool fits = text == "off" || text == "auto" || text.starts_with("/");
             return std::string(fits ? "" : kCgroupForms);
           },
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.worker_cgroups = v.text(); }},
      {.name = "workerd",
       .flags = "--workerd",
       .placeholder = "PATH",
       .scope = Scope::kArbiter,
       .group = Group::kProcess,
       .gunicorn = false,
       .default_note = "beside arbiterd, else in libexec",
       .help = "The worker program. A running arbiter keeps the one it found; an upgrade finds it "
               "anew.",
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.workerd = v.text(); }},
  };
}

}  // namespace

std::vector<Setting> process_settings() {
  std::vector<Setting> settings = logs();
  for (const Setting& setting : process()) settings.push_back(setting);
  return settings;
}

}  // namespace corn::config
