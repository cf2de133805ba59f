// SPDX-License-Identifier: Apache-2.0
// Settings of asynchronous applications: of the worker class asgi alone.
#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

constexpr std::int64_t kLongest = 100'000'000;  // seconds
constexpr std::int64_t kLargestMessage = 1'000'000'000;

void set_loop(const Value& value, PoolSettings& pool) {
  pool.worker.asgi_loop = value.text() == "auto"      ? base::AsgiLoop::kAuto
                          : value.text() == "asyncio" ? base::AsgiLoop::kAsyncio
                                                      : base::AsgiLoop::kUvloop;
}

void set_lifespan(const Value& value, PoolSettings& pool) {
  pool.worker.asgi_lifespan = value.text() == "auto" ? base::AsgiLifespan::kAuto
                              : value.text() == "on" ? base::AsgiLifespan::kOn
                                                     : base::AsgiLifespan::kOff;
}

}  // namespace

std::vector<Setting> asgi_settings() {
  return {
      {.name = "asgi_loop",
       .flags = "--asgi-loop",
       .placeholder = "LOOP",
       .kind = Kind::kChoice,
       .group = Group::kAsgi,
       .default_text = "auto",
       .choices = "auto|asyncio|uvloop",
       .help = "The event loop: Python's own asyncio, or uvloop (auto: uvloop if it is installed).",
       .to_pool = set_loop},
      {.name = "asgi_lifespan",
       .flags = "--asgi-lifespan",
       .placeholder = "WHEN",
       .kind = Kind::kChoice,
       .group = Group::kAsgi,
       .default_text = "auto",
       .choices = "auto|on|off",
       .help =
           "Tell the application of a worker's start and end (lifespan protocol). auto: unless "
           "it doesn't take part; on: a worker whose application doesn't take part cannot boot.",
       .more = "A start that fails is a worker that cannot boot: a reload is then abandoned, and "
               "the old workers serve on.",
       .to_pool = set_lifespan},
      {.name = "asgi_disconnect_grace_period",
       .flags = "--asgi-disconnect-grace-period",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kAsgi,
       .default_text = "3",
       .maximum = kLongest,
       .help = "Time for a request whose client has gone to come to an end before its task is "
               "cancelled (0: at once).",
       .more = "The application is told by `http.disconnect` first. A task that has sent its whole "
               "answer is not cancelled.",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.asgi_disconnect_grace = v.duration(); }},
      {.name = "root_path",
       .flags = "--root-path",
       .placeholder = "PATH",
       .group = Group::kAsgi,
       .help = "What the application finds as `root_path`: the path that it is mounted at by a "
               "proxy.",
       .more = "Paths of requests are passed on as they come. WSGI applications have SCRIPT_NAME, "
               "set with raw_env or by a proxy's header.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.root_path = v.text(); }},
      {.name = "websocket_max_message",
       .flags = "--websocket-max-message",
       .placeholder = "SIZE",
       .kind = Kind::kBytes,
       .group = Group::kAsgi,
       .gunicorn = false,
       .default_text = "16M",
       .minimum = 1,
       .maximum = kLargestMessage,
       .help = "Largest message that a WebSocket client may send; a larger one ends the connection "
               "with code 1009.",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.websocket_max_message = v.u64(); }},
      {.name = "websocket_ping_interval",
       .flags = "--websocket-ping-interval",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kAsgi,
       .gunicorn = false,
       .default_text = "20",
       .maximum = kLongest,
       .help = "A WebSocket client that has been silent for so long is sent a ping, and is taken "
               "for gone when it is silent for as long again (0: never).",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.websocket_ping_interval = v.duration(); }},
  };
}

}  // namespace corn::config
