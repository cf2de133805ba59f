// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <limits>

#include "arbiterd/config/formats.h"
#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

// Some three years, in seconds. Sums of a few of them still fit a clock in nanoseconds.
constexpr std::int64_t kLongest = 100'000'000;
constexpr std::int64_t kMostRequests = 1'000'000'000'000;

void set_reload_surge(const Value& value, PoolSettings& pool) {
  const std::string& text = value.text();
  pool.spec.reload_surge_percent = text.ends_with('%');
  std::from_chars(text.data(), text.data() + text.size(), pool.spec.reload_surge);
}

std::vector<Setting> number_of_workers() {
  return {
      {.name = "workers",
       .flags = "-w, --workers",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kWorkers,
       .default_text = "1",
       .default_note = "1, or $WEB_CONCURRENCY",
       .minimum = 1,
       .maximum = core::kMaxWorkers,
       .environment = "WEB_CONCURRENCY",
       .help = "Worker processes.",
       .more = "A count changed by a signal or by `cornctl scale` survives a reload, unless this "
               "setting itself has changed.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.spec.workers = v.u32(); }},
      {.name = "worker_class",
       .flags = "-k, --worker-class",
       .placeholder = "CLASS",
       .group = Group::kWorkers,
       .default_text = "sync",
       .wanted = "sync, gthread, gevent or asgi",
       .help = "How a worker runs the application: sync (one request at a time), gthread (in "
               "threads), gevent (on greenlets) or asgi (an asynchronous application on its event "
               "loop).",
       .more = "`sync` with `threads` over 1 is `gthread`. `gthread` with one thread runs the "
               "application beside the thread that serves connections, so that `timeout` doesn't "
               "end a long request. `gevent` needs the package of that "
               "name, which patches the standard library before the application is imported; up "
               "to `worker_connections` requests are served at once. The class paths of "
               "gunicorn's own and of `uvicorn.workers` are taken for the class they mean; "
               "gunicorn's `gevent_wsgi` and `gevent_pywsgi` for `gevent`.",
       .problem = worker_class_problem,
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.worker_class = worker_class_named(v.text()); }},
      {.name = "threads",
       .flags = "--threads",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kWorkers,
       .default_text = "1",
       .minimum = 1,
       .maximum = 1024,
       .help = "Threads of each worker that run the application.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.threads = v.u32(); }},
      {.name = "worker_connections",
       .flags = "--worker-connections",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kWorkers,
       .default_text = "1000",
       .minimum = 1,
       .maximum = 1'000'000,
       .help = "Connections that a worker holds at once.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.worker_connections = v.u32(); }},
  };
}

std::vector<Setting> limits_in_time() {
  return {
      {.name = "timeout",
       .flags = "-t, --timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .default_text = "30",
       .maximum = kLongest,
       .help = "A worker silent for so long is dumped, killed and replaced (0: never).",
       .to_pool =
           [](const Value& v, PoolSettings& p) {
             p.worker.timeout = v.duration();
             p.spec.timeout = v.duration();
           }},
      {.name = "request_timeout",
       .flags = "--request-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_text = "0",
       .maximum = kLongest,
       .help = "Longest time that one request may spend in the application, in every worker class "
               "(0: no limit). Its client is then answered 504 and its worker replaced.",
       .more = "The log has the stacks and the request. A worker whose other threads still serve "
               "finishes what they have, within graceful_timeout, before it goes.",
       .to_pool =
           [](const Value& v, PoolSettings& p) {
             p.worker.request_timeout = v.duration();
             p.spec.request_timeout = v.duration();
           }},
      // After request_timeout, of which it is a share.
      {.name = "request_timeout_soft",
       .flags = "--request-timeout-soft",
       .placeholder = "SHARE",
       .kind = Kind::kFraction,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_text = "0.8",
       .help = "Share of request_timeout after which a slow request is told of, once, with its "
               "stack, in log and events (0 or 1: never).",
       .to_pool =
           [](const Value& v, PoolSettings& p) {
             const bool wanted = v.number() > 0 && v.number() < 1000;
             p.spec.request_warning =
                 wanted ? p.spec.request_timeout * v.number() / 1000 : core::Duration(0);
           }},
      {.name = "boot_timeout",
       .flags = "--boot-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_text = "120",
       .maximum = kLongest,
       .help = "Time for a new worker to load the application (0: no limit).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.spec.boot_timeout = v.duration(); }},
      {.name = "graceful_timeout",
       .flags = "--graceful-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .default_text = "30",
       .maximum = kLongest,
       .help = "Time for a worker that is to go to finish its requests.",
       .to_pool =
           [](const Value& v, PoolSettings& p) {
             p.worker.graceful_timeout = v.duration();
             p.spec.graceful_timeout = v.duration();
           }},
      {.name = "keepalive",
       .flags = "--keep-alive",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .default_text = "2",
       .maximum = kLongest,
       .help = "Time to wait for a connection's next request (0: close after each).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.keep_alive = v.duration(); }},
      {.name = "header_timeout",
       .flags = "--header-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_note = "timeout",
       .maximum = kLongest,
       .help = "A request head that isn't whole by then is answered 408 (0: no limit).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.header_timeout = v.duration(); }},
      {.name = "body_timeout",
       .flags = "--body-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_note = "timeout",
       .maximum = kLongest,
       .help = "Time to wait for the next bytes of a request's body (0: no limit).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.body_timeout = v.duration(); }},
      {.name = "orphan_timeout",
       .flags = "--orphan-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_text = "60",
       .maximum = kLongest,
       .help = "Workers whose arbiter has died serve on for so long before they leave.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.orphan_timeout = v.duration(); }},
  };
}

std::vector<Setting> recycling() {
  return {
      {.name = "max_requests",
       .flags = "--max-requests",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kRecycling,
       .default_text = "0",
       .maximum = kMostRequests,
       .help = "Replace a worker after so many requests (0: never).",
       .more = "The replacement is ready before the old worker retires.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.max_requests = v.u64(); }},
      {.name = "max_requests_jitter",
       .flags = "--max-requests-jitter",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kRecycling,
       .default_text = "0",
       .maximum = kMostRequests,
       .help = "Add a random number up to this to each worker's max_requests.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.max_requests_jitter = v.u64(); }},
      {.name = "max_memory",
       .flags = "--max-memory",
       .placeholder = "SIZE",
       .kind = Kind::kBytes,
       .group = Group::kRecycling,
       .gunicorn = false,
       .default_text = "0",
       .help = "Replace a worker whose resident memory passes this: 512M, 2G (0: never).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.spec.max_memory = v.u64(); }},
      {.name = "max_lifetime",
       .flags = "--max-lifetime",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kRecycling,
       .gunicorn = false,
       .default_text = "0",
       .maximum = kLongest,
       .help = "Replace a worker of this age (0: never).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.spec.max_lifetime = v.duration(); }},
      {.name = "reload_surge",
       .flags = "--reload-surge",
       .placeholder = "N|N%",
       .kind = Kind::kSurge,
       .group = Group::kRecycling,
       .gunicorn = false,
       .default_text = "100%",
       .help = "How many more workers than configured may exist during a reload.",
       .more = "With 100% nothing old is retired before all of the new are ready; with less the "
               "pool is exchanged worker by worker.",
       .to_pool = set_reload_surge},
      {.name = "handover",
       .flags = "--handover",
       .placeholder = "WHEN",
       .kind = Kind::kChoice,
       .group = Group::kRecycling,
       .gunicorn = false,
       .default_text = "overlap",
       .choices = "overlap|exclusive",
       .help = "overlap: a worker leaves when its replacement is ready. exclusive: the replacement "
               "loads the application when the old worker has exited.",
       .to_pool =
           [](const Value& v, PoolSettings& p) {
             p.spec.handover =
                 v.text() == "exclusive" ? core::Handover::kExclusive : core::Handover::kOverlap;
           }},
      {.name = "restart_intensity",
       .flags = "--restart-intensity",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kRecycling,
       .gunicorn = false,
       .default_text = "30",
       .minimum = 1,
       .maximum = 1'000'000,
       .help = "So many unexpected deaths within restart_window degrade a pool: its workers are "
               "then replaced with growing delays.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.spec.restart_intensity = v.u32(); }},
      {.name = "restart_window",
       .flags = "--restart-window",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kRecycling,
       .gunicorn = false,
       .default_text = "10",
       .minimum = 1,
       .maximum = kLongest,
       .help = "The time in which restart_intensity counts.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.spec.restart_window = v.duration(); }},
  };
}

}  // namespace

std::vector<Setting> worker_settings() {
  std::vector<Setting> settings = number_of_workers();
  for (const Setting& setting : limits_in_time()) settings.push_back(setting);
  for (const Setting& setting : recycling()) settings.push_back(setting);
  return settings;
}

}  // namespace corn::config
