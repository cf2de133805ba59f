// SPDX-License-Identifier: Apache-2.0
// Settings that a gunicorn user may bring along and that Corn refuses, or need not obey, and those
// of the contract whose subject is not built yet.
#include <array>

#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

constexpr std::string_view kTls =
    "TLS is not implemented in this version of Corn; let a proxy such as nginx or HAProxy end it";
constexpr std::string_view kPaste =
    "Paste Deployment files are not implemented; name the application as MODULE:CALLABLE";
constexpr std::string_view kUwsgi =
    "the uwsgi protocol is not implemented; let the proxy speak HTTP";
constexpr std::string_view kDirty =
    "gunicorn's dirty workers are not implemented; give long tasks a pool of their own in "
    "corn.toml";
constexpr std::string_view kHttp2 = "HTTP/2 is not implemented; let the proxy speak HTTP/1.1";
constexpr std::string_view kControl = "Corn's control socket is placed with `control`";

struct Row {
  std::string_view name;
  std::string_view flags;
  Kind kind;
  std::string_view default_text;
  std::string_view reason;
  std::string_view placeholder = "VALUE";
};

constexpr std::array kRefused = {
    Row{"keyfile", "--keyfile", Kind::kText, "", kTls, "FILE"},
    Row{"certfile", "--certfile", Kind::kText, "", kTls, "FILE"},
    Row{"ca_certs", "--ca-certs", Kind::kText, "", kTls, "FILE"},
    Row{"cert_reqs", "--cert-reqs", Kind::kWhole, "0", kTls},
    Row{"ciphers", "--ciphers", Kind::kText, "", kTls},
    Row{"ssl_version", "--ssl-version", Kind::kWhole, "2", kTls},
    Row{"do_handshake_on_connect", "--do-handshake-on-connect", Kind::kSwitch, "false", kTls},
    Row{"suppress_ragged_eofs", "--suppress-ragged-eofs", Kind::kSwitch, "true", kTls},
    Row{"spew", "--spew", Kind::kSwitch, "false",
        "tracing every line is not implemented; use Python's `trace` module in the application"},
    Row{"paste", "--paste, --paster", Kind::kText, "", kPaste, "FILE"},
    Row{"raw_paste_global_conf", "--paste-global", Kind::kTextList, "", kPaste},
    Row{"protocol", "--protocol", Kind::kText, "http", kUwsgi},
    Row{"uwsgi_allow_ips", "--uwsgi-allow-from", Kind::kCommaList, "127.0.0.1,::1", kUwsgi,
        "ADDRESSES"},
    Row{"dirty_apps", "--dirty-app", Kind::kTextList, "", kDirty},
    Row{"dirty_workers", "--dirty-workers", Kind::kWhole, "0", kDirty, "N"},
    Row{"dirty_timeout", "--dirty-timeout", Kind::kWhole, "300", kDirty, "SECONDS"},
    Row{"dirty_threads", "--dirty-threads", Kind::kWhole, "1", kDirty, "N"},
    Row{"dirty_graceful_timeout", "--dirty-graceful-timeout", Kind::kWhole, "30", kDirty,
        "SECONDS"},
    Row{"http_protocols", "--http-protocols", Kind::kCommaList, "h1", kHttp2},
    Row{"http2_max_concurrent_streams", "--http2-max-concurrent-streams", Kind::kWhole, "100",
        kHttp2, "N"},
    Row{"http2_initial_window_size", "--http2-initial-window-size", Kind::kWhole, "65535", kHttp2,
        "BYTES"},
    Row{"http2_max_frame_size", "--http2-max-frame-size", Kind::kWhole, "16384", kHttp2, "BYTES"},
    Row{"http2_max_header_list_size", "--http2-max-header-list-size", Kind::kWhole, "65536", kHttp2,
        "BYTES"},
    Row{"control_socket", "--control-socket", Kind::kText, "", kControl, "PATH"},
    Row{"control_socket_mode", "--control-socket-mode", Kind::kMask, "0600",
        "Corn's control socket is open to its owner and root alone", "MODE"},
    Row{"control_socket_disable", "--no-control-socket", Kind::kSwitch, "false",
        "Corn's control socket can't be switched off; it is open to its owner and root alone"},
};

constexpr std::array kRefusedOwn = {
    Row{"admin", "--admin", Kind::kText, "",
        "metrics and dashboard are not implemented in this version of Corn; use `cornctl status`",
        "ADDRESS"},
    Row{"dbus", "--dbus", Kind::kChoice, "off",
        "D-Bus is not implemented in this version of Corn; only off is allowed", "BUS"},
};

constexpr std::array kNoEffect = {
    Row{"worker_tmp_dir", "--worker-tmp-dir", Kind::kText, "",
        "heartbeats of Corn's workers are in shared memory and need no file", "DIR"},
    Row{"reload_engine", "--reload-engine", Kind::kChoice, "auto",
        "changed files are always seen by inotify, without polling", "NAME"},
    Row{"http_parser", "--http-parser", Kind::kChoice, "auto",
        "Corn has one parser, which is fast and strict", "NAME"},
    Row{"initgroups", "--initgroups", Kind::kSwitch, "false",
        "workers that run as another user always get that user's groups"},
    Row{"enable_stdio_inheritance", "-R, --enable-stdio-inheritance", Kind::kSwitch, "false",
        "standard streams are inherited, except with `daemon`, where it is refused"},
};

Setting setting_of(const Row& row, Support support, bool gunicorn) {
  Setting setting;
  setting.name = row.name;
  setting.flags = row.flags;
  setting.placeholder = row.placeholder;
  setting.kind = row.kind;
  setting.scope = support == Support::kRefused ? Scope::kBoth : Scope::kPool;
  setting.gunicorn = gunicorn;
  setting.default_text = row.default_text;
  setting.support = support;
  setting.reason = row.reason;
  setting.repeatable = row.kind == Kind::kTextList;
  if (row.name == "dbus") setting.choices = "off|session|system";
  if (row.name == "reload_engine") setting.choices = "auto|poll|inotify";
  if (row.name == "http_parser") setting.choices = "auto|fast|python";
  return setting;
}

}  // namespace

std::vector<Setting> gunicorn_settings() {
  std::vector<Setting> settings;
  settings.reserve(kNoEffect.size() + kRefusedOwn.size() + kRefused.size());
  for (const Row& row : kNoEffect) settings.push_back(setting_of(row, Support::kNoEffect, true));
  for (const Row& row : kRefusedOwn) settings.push_back(setting_of(row, Support::kRefused, false));
  for (const Row& row : kRefused) settings.push_back(setting_of(row, Support::kRefused, true));
  return settings;
}

std::vector<Setting> refused_hook_settings() {
  std::vector<Setting> settings;
  for (const std::string_view name : {"ssl_context", "on_dirty_starting", "dirty_post_fork",
                                      "dirty_worker_init", "dirty_worker_exit"}) {
    Setting setting;
    setting.name = name;
    setting.kind = Kind::kHook;
    setting.scope = Scope::kBoth;
    setting.support = Support::kRefused;
    setting.reason = name == "ssl_context" ? kTls : kDirty;
    settings.push_back(setting);
  }
  return settings;
}

}  // namespace corn::config
