// SPDX-License-Identifier: Apache-2.0
// What arbiterd tells a child about its job, once, in the first message on the channel. Durations
// of zero mean "no limit" unless a field says otherwise. Privileges, umask, working directory,
// environment and descriptors are settled by arbiterd before exec and are not repeated here.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/outlet_options.h"

namespace corn::base {

enum class WorkerRole : std::uint8_t {
  kServe,       // load the application and serve the listeners
  kCheck,       // load the application, report ready or boot-failed, exit
  kConfigHost,  // evaluate a Python configuration file and return its values
  kTemplate,    // come up, load the application if `preload`, then fork workers and run hooks
};

enum class WorkerClass : std::uint8_t { kSync, kThreads, kGevent, kAsgi, kNative };

enum class AsgiLoop : std::uint8_t { kAuto, kAsyncio, kUvloop };
enum class AsgiLifespan : std::uint8_t { kAuto, kOn, kOff };

enum class HeaderMap : std::uint8_t { kDrop, kRefuse, kDangerous };

// Which versions of the PROXY protocol may open a connection.
enum class ProxyProtocol : std::uint8_t { kOff, kV1, kV2, kAuto };

using Milliseconds = std::chrono::milliseconds;

// A listening socket, passed as descriptor kFirstListenerFd + its index.
struct ListenerInfo {
  std::string url;         // "http://127.0.0.1:8000" or "unix:/run/app.sock", as shown to people
  std::string host;        // SERVER_NAME for the application: the bound host, or the socket's path
  std::uint16_t port = 0;  // SERVER_PORT; 0 for a unix socket
  bool unix_socket = false;
};

struct WorkerConfig {
  WorkerRole role = WorkerRole::kServe;
  std::string instance;  // shown in the process title
  std::string pool;
  std::uint64_t generation = 0;
  std::uint64_t worker_id = 0;  // never reused within an instance
  std::uint32_t age = 0;        // ordinal of the worker in its pool, gunicorn's worker.age
  bool multiprocess = false;    // wsgi.multiprocess: the pool's target is over 1
  // Nobody else has the pool's sockets but arbiterd while this worker drains (`exclusive`, target
  // 1): should arbiterd die then, the next one has them from here.
  bool keeps_sockets = false;

  // Application
  std::string application;  // "module:callable", "module:factory()", or a path to lib.so[:symbol]
  WorkerClass worker_class = WorkerClass::kSync;
  std::uint32_t threads = 1;
  std::string working_directory;         // absolute; first on sys.path
  std::vector<std::string> python_path;  // put before sys.path, first entry first
  std::string virtual_env;               // directory of a virtual environment; empty: none
  std::string config_file;  // kConfigHost, kTemplate: the file to evaluate; empty: none
  bool script = false;      // forked from a script that uses the Python API, which is asked for all
  bool preload = false;     // kTemplate: loads the application; kServe: forked with it loaded
  std::vector<std::string> warm_up;  // kTemplate: paths requested of it before workers are forked
  // Settings in force under gunicorn's names, a JSON object: `cfg` of hooks. Templates only; their
  // workers inherit it.
  std::string settings;

  // Limits in time
  Milliseconds timeout{30000};
  Milliseconds graceful_timeout{30000};
  Milliseconds keep_alive{2000};  // idle time between requests of a connection; 0: close after each
  Milliseconds request_timeout{0};
  Milliseconds header_timeout{30000};
  Milliseconds body_timeout{30000};
  Milliseconds orphan_timeout{60000};
  std::string adoption_socket;              // where an orphan finds a new arbiterd; empty: nowhere
  std::uint32_t body_min_rate = 256;        // bytes per second, averaged over 10 s; 0: none
  std::uint64_t body_memory = 1U << 20U;    // bytes of one request's body kept in memory
  std::string upload_directory;             // where larger bodies are spilled
  std::uint64_t max_requests = 0;           // 0: never
  std::uint64_t max_requests_jitter = 0;    // uniform random addition to max_requests
  std::uint32_t worker_connections = 1000;  // connections held at once

  // Limits and switches of the HTTP parser (0: gunicorn's "unlimited", which still has a hard cap)
  std::uint32_t limit_request_line = 4094;
  std::uint32_t limit_request_fields = 100;
  std::uint32_t limit_request_field_size = 8190;
  bool permit_obsolete_folding = false;
  bool strip_header_spaces = false;
  bool permit_unconventional_http_method = false;
  bool permit_unconventional_http_version = false;
  bool casefold_http_method = false;
  HeaderMap header_map = HeaderMap::kDrop;
  std::vector<std::string> forwarder_headers{"SCRIPT_NAME", "PATH_INFO"};
  std::vector<std::string> forwarded_allow_ips{"127.0.0.1", "::1"};
  std::vector<std::string> secure_scheme_headers;  // "NAME=VALUE"
  ProxyProtocol proxy_protocol = ProxyProtocol::kOff;
  std::vector<std::string> proxy_allow_ips{"127.0.0.1", "::1"};

  // Worker class asgi
  AsgiLoop asgi_loop = AsgiLoop::kAuto;
  AsgiLifespan asgi_lifespan = AsgiLifespan::kAuto;
  Milliseconds asgi_disconnect_grace{3000};  // 0: none
  std::string root_path;
  std::uint64_t websocket_max_message = 16U << 20U;  // bytes
  Milliseconds websocket_ping_interval{20000};

  // Logs
  std::string error_log = "-";
  std::string log_level = "info";
  bool log_json = false;
  std::string access_log;  // empty: none; "-": standard output
  std::string access_log_format;
  bool capture_output = false;
  bool tells_failures = true;  // why it can't boot, in full: arbiterd's log is another one
  StatsdOptions statsd;
  SyslogOptions syslog;
  // Of Python's logging; at most one is set.
  std::string log_config_file;  // path of a file for logging.config.fileConfig
  std::string log_config_json;  // path of a JSON file for dictConfig
  std::string log_config_dict;  // JSON text for dictConfig

  bool sendfile = true;       // wsgi.file_wrapper may use sendfile(2)
  bool report_files = false;  // LoadedFiles is wanted

  std::vector<ListenerInfo> listeners;
  // The pool's hand-off queue is there: a datagram socket pair by which its workers pass client
  // connections on. Its ends follow the listeners: first the one that takes them in, then the
  // one they come out of.
  bool hand_off = false;
  // The files of log_paths() are passed open, behind all that.
  bool log_files = false;
  // The directory of `adoption_socket`, opened for its path alone, follows: with dropped
  // privileges the way to it may be barred.
  bool adoption_directory = false;
  // After that, a file for notes of workers that leave without an order: "ID CAUSE" in a line each.
  bool departures = false;
};

// The files among the error log and the access log, in this order.
inline std::vector<std::string> log_paths(const WorkerConfig& config) {
  std::vector<std::string> paths;
  for (const std::string& path : {config.error_log, config.access_log}) {
    if (!path.empty() && path != "-") paths.push_back(path);
  }
  return paths;
}

// Slots of the worker's scoreboard: one for each thread that runs the application; where one thread
// has many requests inside, for so many of them.
inline std::uint32_t scoreboard_slots(const WorkerConfig& config) {
  constexpr std::uint32_t kOnOneThread = 64;
  const bool many =
      config.worker_class == WorkerClass::kAsgi || config.worker_class == WorkerClass::kGevent;
  return many ? kOnOneThread : config.threads > 0 ? config.threads : 1;
}

// Descriptors a child of arbiterd starts with, beside 0, 1 and 2.
inline constexpr int kChannelFd = 3;
inline constexpr int kScoreboardFd = 4;  // kServe only
inline constexpr int kFirstListenerFd = 5;

template <class Archive>
void fields(Archive& a, ListenerInfo& v) {
  a(v.url), a(v.host), a(v.port), a(v.unix_socket);
}

template <class Archive>
void fields(Archive& a, WorkerConfig& v) {
  a(v.role), a(v.instance), a(v.pool), a(v.generation), a(v.worker_id), a(v.age);
  a(v.multiprocess), a(v.keeps_sockets), a(v.application), a(v.worker_class), a(v.threads),
      a(v.working_directory);
  a(v.python_path), a(v.virtual_env), a(v.config_file), a(v.script), a(v.preload), a(v.warm_up);
  a(v.settings);
  a(v.timeout), a(v.graceful_timeout), a(v.keep_alive), a(v.request_timeout), a(v.header_timeout);
  a(v.body_timeout), a(v.orphan_timeout), a(v.adoption_socket), a(v.body_min_rate),
      a(v.body_memory);
  a(v.upload_directory), a(v.max_requests), a(v.max_requests_jitter), a(v.worker_connections);
  a(v.limit_request_line), a(v.limit_request_fields), a(v.limit_request_field_size);
  a(v.permit_obsolete_folding), a(v.strip_header_spaces), a(v.permit_unconventional_http_method);
  a(v.permit_unconventional_http_version), a(v.casefold_http_method), a(v.header_map);
  a(v.forwarder_headers), a(v.forwarded_allow_ips), a(v.secure_scheme_headers);
  a(v.proxy_protocol), a(v.proxy_allow_ips);
  a(v.asgi_loop), a(v.asgi_lifespan), a(v.asgi_disconnect_grace), a(v.root_path);
  a(v.websocket_max_message), a(v.websocket_ping_interval);
  a(v.error_log), a(v.log_level), a(v.log_json), a(v.access_log), a(v.access_log_format);
  a(v.capture_output), a(v.tells_failures), a(v.statsd), a(v.syslog), a(v.log_config_file),
      a(v.log_config_json);
  a(v.log_config_dict), a(v.sendfile), a(v.report_files), a(v.listeners), a(v.hand_off);
  a(v.log_files);
  a(v.adoption_directory), a(v.departures);
}

}  // namespace corn::base
