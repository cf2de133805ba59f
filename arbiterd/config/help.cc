// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "arbiterd/config/schema.h"
#include "arbiterd/config/sources.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

constexpr std::size_t kWidth = 80;
constexpr std::size_t kTextColumn = 27;

constexpr std::string_view kIntroduction =
    R"(Usage: arbiterd [OPTIONS] [APP]

Serves the Python (WSGI) application APP, MODULE:CALLABLE, with worker processes
that it starts, watches, replaces and reloads. Settings come, weakest first,
from defaults, the configuration file, CORN_CMD_ARGS (else GUNICORN_CMD_ARGS),
and these options, which carry gunicorn's names. Defaults stand in [brackets].
In a file a setting has its option's name with '_' for '-'; where it has another
name, that one is told in (parentheses).
)";

constexpr std::string_view kExamples =
    R"(
Examples:
  arbiterd -w 4 -b 0.0.0.0:8000 shop.wsgi:application
  arbiterd -w 2 --threads 8 --max-requests 10000 --max-requests-jitter 1000 shop
  arbiterd -c corn.toml --check-config

Signals: TERM ends gracefully, INT and QUIT at once, HUP reloads, TTIN and TTOU
add and remove a worker, USR1 reopens log files. `cornctl` does the same and
shows what goes on. Exit status: 0 done, 1 cannot bind or write, 2 wrong
settings, 3 no worker starts, 4 the application cannot be loaded. All of it:
docs/SETTINGS.md.
)";

std::string left_side(const Setting& setting) {
  // Options with a long name alone line up with those behind a short one.
  std::string text = setting.flags.starts_with("--") ? "      " : "  ";
  text += setting.flags;
  if (setting.kind != Kind::kSwitch) text += fmt::format(" {}", setting.placeholder);
  return text;
}

std::string default_of(const Setting& setting) {
  if (!setting.default_note.empty()) return std::string(setting.default_note);
  return setting.kind == Kind::kSwitch ? std::string() : std::string(setting.default_text);
}

// The name in files, where it can't be guessed from the option.
std::string name_in_files(const Setting& setting) {
  std::string guess(long_flag(setting).substr(2));
  for (char& c : guess) {
    if (c == '-') c = '_';
  }
  if (setting.scope == Scope::kInvocation || guess == setting.name) return {};
  return fmt::format(" ({})", setting.name);
}

std::string entry(const Setting& setting) {
  std::string text = std::string(setting.help) + name_in_files(setting);
  if (const std::string value = default_of(setting); !value.empty()) {
    text += fmt::format(" [{}]", value);
  }
  std::string result = left_side(setting);
  const bool same_line = result.size() + 2 <= kTextColumn;
  bool first = true;
  for (const std::string& line : wrapped(text, kWidth - kTextColumn)) {
    if (first && same_line) {
      result.resize(kTextColumn, ' ');
    } else {
      result += '\n';
      result.append(kTextColumn, ' ');
    }
    result += line;
    first = false;
  }
  return result + "\n";
}

std::string paragraph(std::string_view heading, const std::string& text) {
  std::string result = fmt::format("\n{}:\n", heading);
  for (const std::string& line : wrapped(text, kWidth - 2)) result += "  " + line + "\n";
  return result;
}

std::string list_of(bool (*chosen)(const Setting&), bool by_flag) {
  std::string list;
  for (const Setting& setting : schema()) {
    if (!chosen(setting)) continue;
    const std::string_view name = by_flag ? long_flag(setting) : setting.name;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  return list;
}

}  // namespace

std::string help_text() {
  std::string text(kIntroduction);
  const Setting* previous = nullptr;
  for (const Setting& setting : schema()) {
    if (setting.support != Support::kImplemented || setting.flags.empty()) continue;
    if (previous == nullptr || previous->group != setting.group) {
      text += fmt::format("\n{}:\n", title(setting.group));
    }
    text += entry(setting);
    previous = &setting;
  }
  text += paragraph(
      "In files only",
      list_of(
          [](const Setting& s) { return s.support == Support::kImplemented && s.flags.empty(); },
          false));
  text +=
      paragraph("Accepted without effect",
                list_of([](const Setting& s) { return s.support == Support::kNoEffect; }, true));
  text += paragraph(
      "Known and refused with the reason",
      list_of([](const Setting& s) { return s.support == Support::kRefused && !s.flags.empty(); },
              true));
  return text.append(kExamples);
}

}  // namespace corn::config
