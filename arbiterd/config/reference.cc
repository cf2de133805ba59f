// SPDX-License-Identifier: Apache-2.0
// docs/SETTINGS.md and --print-config.
#include <fmt/format.h>

#include <algorithm>

#include "arbiterd/config/raw_value.h"
#include "arbiterd/config/schema.h"
#include "arbiterd/config/sources.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

constexpr std::size_t kWidth = 100;

constexpr std::string_view kIntroduction = R"(# Settings

<!-- Made from the table in arbiterd/config; `CORN_REWRITE=1 ./dev test config` writes it anew. -->

Every setting of arbiterd. Names, short forms, defaults and meaning are those of gunicorn 26
wherever gunicorn has the setting.

A setting comes, from the weakest source to the strongest, from

1. its default, which for a few can be given by an environment variable;
2. the configuration file: `-c FILE`, else `./corn.toml`, else `./gunicorn.conf.py`;
3. the options in `CORN_CMD_ARGS`, or, where that isn't set, `GUNICORN_CMD_ARGS`;
4. the command line.

`arbiterd --print-config` shows what is in force and where each value comes from.

A **Python file** (`-c FILE.py`, `-c file:FILE`, `-c python:MODULE`) assigns settings to variables
of their names, as for gunicorn. Variables that are no settings are ignored.

A **TOML file** (`-c FILE.toml`) has one table for the arbiter and one for each pool, a pool being
an application with listeners and workers of its own. Unknown keys are errors. With several pools,
options that concern a pool are refused on the command line.

```toml
[arbiter]
proc_name = "shop"
pidfile = "/run/shop.pid"

[pool.web]
wsgi_app = "shop.wsgi:application"
bind = "0.0.0.0:8000"
workers = 4

[pool.admin]
wsgi_app = "shop.admin:application"
bind = ["127.0.0.1:8001", "unix:/run/shop-admin.sock"]
threads = 4
```

Settings that may stand in `[arbiter]` and in a pool hold for all pools from `[arbiter]`. Durations
are in seconds, fractions allowed. Sizes are in bytes, or texts with K, M, G or T, powers of 1024:
`"512M"`. Relative paths start from `chdir`, those in `[arbiter]` from where arbiterd was started.
)";

std::string_view place_in_files(const Setting& setting) {
  switch (setting.scope) {
    case Scope::kInvocation:
      return "";
    case Scope::kArbiter:
      return "`[arbiter]`";
    case Scope::kPool:
      return "`[pool.NAME]`";
    case Scope::kBoth:
      return "`[arbiter]` or `[pool.NAME]`";
  }
  CORN_CHECK(false);
}

std::string_view on_reload(const Setting& setting) {
  switch (setting.on_reload) {
    case OnReload::kApplied:
      return "applied";
    case OnReload::kNewListeners:
      return "applied to new listeners";
    case OnReload::kRestart:
      return "needs a restart";
  }
  CORN_CHECK(false);
}

std::string unit_of(const Setting& setting) {
  switch (setting.kind) {
    case Kind::kSwitch:
      return "true or false";
    case Kind::kSeconds:
      return fmt::format("seconds, {} to {}", setting.minimum, setting.maximum);
    case Kind::kBytes:
      return "a size in bytes";
    case Kind::kWhole:
    case Kind::kFraction:
    case Kind::kMask:
    case Kind::kText:
    case Kind::kChoice:
    case Kind::kTextList:
    case Kind::kCommaList:
    case Kind::kDictionary:
    case Kind::kObject:
    case Kind::kSurge:
    case Kind::kHook: {
      std::string text = wanted(setting);
      if (text.ends_with(',')) text.pop_back();
      return text;
    }
  }
  CORN_CHECK(false);
}

std::string default_of(const Setting& setting) {
  const Value value = default_value(setting);
  const bool telling = !setting.default_text.empty() && setting.default_note.empty();
  if (telling) return fmt::format("`{}`", to_toml(setting.kind, value));
  if (!setting.default_note.empty()) return std::string(setting.default_note);
  return "none";
}

std::string flags_in_code(const Setting& setting) {
  std::string text;
  for (const std::string_view flag : flags_of(setting)) {
    text += (text.empty() ? "" : ", ") + fmt::format("`{}`", flag);
  }
  return text;
}

std::string in_lines(const std::string& text) {
  std::string result;
  for (const std::string& line : wrapped(text, kWidth)) result += line + "\n";
  return result;
}

std::string section(const Setting& setting) {
  std::string text = fmt::format("\n### `{}`\n\n", setting.name);
  text += in_lines(std::string(setting.help) + (setting.more.empty() ? "" : " ") +
                   std::string(setting.more));
  text += '\n';
  if (!setting.flags.empty()) text += fmt::format("- Option: {}\n", flags_in_code(setting));
  if (setting.scope != Scope::kInvocation) {
    text += fmt::format("- In a TOML file: {}\n", place_in_files(setting));
    text += fmt::format("- Value: {}\n", unit_of(setting));
    text += fmt::format("- Default: {}\n", default_of(setting));
    if (!setting.environment.empty()) {
      text += fmt::format("- Default from the environment: `{}`\n", setting.environment);
    }
    text += fmt::format("- On reload: {}\n", on_reload(setting));
    if (!setting.gunicorn) text += "- Corn's own; gunicorn has no such setting\n";
  }
  return text;
}

std::string row(const Setting& setting) {
  const std::string flags = flags_in_code(setting);
  return fmt::format("| `{}` | {} | {} |\n", setting.name, flags.empty() ? "in files" : flags,
                     setting.reason);
}

std::string rows(std::string_view heading, std::string_view introduction, Support support) {
  std::string text = fmt::format("\n## {}\n\n{}\n\n| setting | option | why |\n|---|---|---|\n",
                                 heading, introduction);
  for (const Setting& setting : schema()) {
    if (setting.support == support) text += row(setting);
  }
  return text;
}

std::string table_of(const std::string& heading, const std::vector<EffectiveValue>& values) {
  constexpr std::size_t kWidest = 46;
  std::size_t width = 0;
  std::vector<std::string> assignments;
  for (const EffectiveValue& value : values) {
    assignments.push_back(value.name + " = " + value.value);
    if (const std::size_t size = assignments.back().size(); size <= kWidest) {
      width = std::max(width, size);
    }
  }
  std::string text = heading + "\n";
  for (std::size_t i = 0; i < values.size(); ++i) {
    text += fmt::format("{:<{}}  # {}\n", assignments[i], width, values[i].origin);
  }
  return text;
}

}  // namespace

std::string settings_reference() {
  std::string text(kIntroduction);
  const Setting* previous = nullptr;
  for (const Setting& setting : schema()) {
    if (setting.support != Support::kImplemented) continue;
    if (previous == nullptr || previous->group != setting.group) {
      text += fmt::format("\n## {}\n", title(setting.group));
    }
    text += section(setting);
    previous = &setting;
  }
  text += rows("Accepted without effect",
               "What these are for holds in Corn whatever their value; a note in the log says so.",
               Support::kNoEffect);
  text += rows("Refused",
               "Asking for one of these ends arbiterd with exit status 2 and the reason. Their "
               "default values are accepted.",
               Support::kRefused);
  return text;
}

std::string print_config(const Settings& settings) {
  std::string text = table_of("[arbiter]", settings.arbiter.effective);
  for (const PoolSettings& pool : settings.pools) {
    text += "\n" + table_of("[pool." + pool.spec.name + "]", pool.effective);
  }
  return text;
}

}  // namespace corn::config
