// SPDX-License-Identifier: Apache-2.0
// The tables of docs/FROM_GUNICORN.md: every setting and hook of gunicorn, and what became of it.
#include <fmt/format.h>

#include <array>

#include "arbiterd/config/schema.h"
#include "arbiterd/config/sources.h"

namespace corn::config {
namespace {

struct Remark {
  std::string_view setting;
  std::string_view text;  // begins with "better: " or "differs: "
};

// Where a setting that Corn has does more than gunicorn's, or something else.
constexpr std::array kRemarks = {
    Remark{"accesslog", "better: written in batches, never within a line"},
    Remark{"access_log_format", "better: checked at the start; %(pid)s and %(time)s besides"},
    Remark{"bind", "better: a reload opens and closes listeners without losing a connection"},
    Remark{"config", "better: TOML files with several pools too; changed values are read by HUP"},
    Remark{"graceful_timeout", "better: the arbiter goes on supervising meanwhile"},
    Remark{"keepalive", "better: idle connections go on with another worker when theirs leaves"},
    Remark{"limit_request_field_size", "differs: 0 means Corn's own limit, not none"},
    Remark{"limit_request_line", "differs: 0 means Corn's own limit, not none"},
    Remark{"logconfig",
           "differs: for the application's loggers; Corn's own lines stay in its logs"},
    Remark{"logconfig_dict",
           "differs: as logconfig; classes and streams are given by name, not as objects"},
    Remark{"logconfig_json", "differs: as logconfig"},
    Remark{"max_requests", "better: the replacement is ready before the old worker goes"},
    Remark{"max_requests_jitter", "better: and never all of a pool at once"},
    Remark{"on_starting",
           "differs: called again by a reload, in the new generation's template; if it raises, the "
           "reload fails and the old generation serves on"},
    Remark{"pidfile", "better: one that is somebody else's by now is left alone"},
    Remark{"proxy_protocol", "better: versions 1 and 2"},
    Remark{
        "reload",
        "better: inotify without a package, one graceful reload for files saved together; broken "
        "code is shown in the log, never to clients, and the last good code serves on"},
    Remark{"reload_extra_files",
           "better: files and directories that come later count when they appear"},
    Remark{"reuse_port", "better: a reload resets no connection"},
    Remark{"sendfile", "same, $SENDFILE included"},
    Remark{"statsd_host", "better: one datagram a request, and nothing waits; IPv6"},
    Remark{"syslog", "better: nothing waits; losses are counted"},
    Remark{"threads", "better: a slow client holds no thread"},
    Remark{"timeout", "better: holds while the application loads too, with stacks in the log"},
    Remark{"tmp_upload_dir", "better: bodies over body_memory alone go there"},
    Remark{"umask", "differs: without it files get the mask arbiterd was started with"},
    Remark{"worker_class", "better: sync keeps connections alive and is not held by slow clients"},
    Remark{
        "when_ready",
        "differs: called again by a reload, once the old generation's template has left; "
        "workers of the reload are there by then, so that what they need belongs in on_starting"},
    Remark{"workers", "better: a count changed by TTIN, TTOU or cornctl outlives a reload"},
};

std::string became_of(const Setting& setting) {
  switch (setting.support) {
    case Support::kImplemented:
      for (const Remark& remark : kRemarks) {
        if (remark.setting == setting.name) return std::string(remark.text);
      }
      return "same";
    case Support::kNoEffect:
      return fmt::format("accepted without effect: {}", setting.reason);
    case Support::kRefused:
      return fmt::format("refused: {}", setting.reason);
  }
  CORN_CHECK(false);
}

std::string flags_in_code(const Setting& setting) {
  std::string text;
  for (const std::string_view flag : flags_of(setting)) {
    text += (text.empty() ? "" : ", ") + fmt::format("`{}`", flag);
  }
  return text;
}

}  // namespace

std::string migration_tables() {
  std::string settings = "| setting | option | in Corn |\n|---|---|---|\n";
  std::string hooks = "| hook | in Corn |\n|---|---|\n";
  for (const Setting& setting : schema()) {
    if (!setting.gunicorn) continue;
    if (setting.kind == Kind::kHook) {
      hooks += fmt::format("| `{}` | {} |\n", setting.name, became_of(setting));
    } else {
      settings += fmt::format("| `{}` | {} | {} |\n", setting.name, flags_in_code(setting),
                              became_of(setting));
    }
  }
  return "### Settings\n\n" + settings + "\n### Server hooks\n\n" + hooks;
}

}  // namespace corn::config
