// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "arbiterd/config/check.h"
#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + separator.size());
  }
  return parts;
}

std::vector<Setting> all_settings() {
  std::vector<Setting> all;
  for (auto part : {program_settings, serving_settings, worker_settings, asgi_settings,
                    request_settings, process_settings, logging_settings, preload_settings,
                    hook_settings, gunicorn_settings, refused_hook_settings}) {
    const std::vector<Setting> settings = part();
    all.insert(all.end(), settings.begin(), settings.end());
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Setting& a, const Setting& b) { return a.group < b.group; });
  return all;
}

struct Table {
  std::vector<Setting> settings = all_settings();
  std::map<std::string_view, const Setting*> by_name;
  std::map<std::string_view, const Setting*> by_flag;

  Table() {
    for (const Setting& setting : settings) {
      CORN_CHECK(by_name.emplace(setting.name, &setting).second);
      for (const std::string_view flag : flags_of(setting)) {
        CORN_CHECK(by_flag.emplace(flag, &setting).second);
      }
    }
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

const Setting* find(const std::map<std::string_view, const Setting*>& index, std::string_view key) {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : found->second;
}

std::string either_of(const std::vector<std::string_view>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace

std::span<const Setting> schema() { return table().settings; }
const Setting* find_setting(std::string_view name) { return find(table().by_name, name); }
const Setting* find_flag(std::string_view flag) { return find(table().by_flag, flag); }

std::vector<std::string_view> flags_of(const Setting& setting) {
  return split(setting.flags, ", ");
}

std::string_view long_flag(const Setting& setting) {
  for (const std::string_view flag : flags_of(setting)) {
    if (flag.starts_with("--")) return flag;
  }
  return {};
}

std::vector<std::string_view> choices_of(const Setting& setting) {
  return split(setting.choices, "|");
}

std::string wanted(const Setting& setting) {
  if (!setting.wanted.empty()) return std::string(setting.wanted);
  const bool bounded = setting.maximum != std::numeric_limits<std::int64_t>::max();
  switch (setting.kind) {
    case Kind::kSwitch:
      return "true or false";
    case Kind::kWhole:
      return bounded ? fmt::format("a whole number from {} to {}", setting.minimum, setting.maximum)
                     : fmt::format("a whole number of {} or more", setting.minimum);
    case Kind::kSeconds:
      return fmt::format("a number of seconds from {} to {}", setting.minimum, setting.maximum);
    case Kind::kFraction:
      return "a number from 0 to 1";
    case Kind::kBytes:
      return "a size in bytes, or with K, M, G or T such as 512M,";
    case Kind::kMask:
      return "a file mode mask from 0 to 0777, in octal with a leading 0 such as 022,";
    case Kind::kText:
      return "a line of text";
    case Kind::kChoice:
      return either_of(choices_of(setting));
    case Kind::kTextList:
      return "a text or a list of texts";
    case Kind::kCommaList:
      return "a comma-separated text or a list of texts";
    case Kind::kDictionary:
      return "a table of names and texts";
    case Kind::kObject:
      return "a dictionary";
    case Kind::kSurge:
      return "a percentage from 1% to 100%, or a count from 1 to 1000,";
    case Kind::kHook:
      return "a function, or its name as PACKAGE.MODULE.FUNCTION,";
  }
  CORN_CHECK(false);
}

Value default_value(const Setting& setting) {
  if (setting.default_text.empty()) {
    const bool list = setting.kind == Kind::kTextList || setting.kind == Kind::kCommaList ||
                      setting.kind == Kind::kDictionary;
    return list ? Value(std::vector<std::string>{}) : Value();
  }
  const base::Result<Value> value = check(setting, RawValue{std::string(setting.default_text)});
  CORN_CHECK(value.has_value());
  return *value;
}

std::string_view title(Group group) {
  switch (group) {
    case Group::kProgram:
      return "Program";
    case Group::kApplication:
      return "Application";
    case Group::kListening:
      return "Listening";
    case Group::kWorkers:
      return "Workers";
    case Group::kTimeLimits:
      return "Limits in time";
    case Group::kRecycling:
      return "Recycling and reload";
    case Group::kAsgi:
      return "Asynchronous applications (asgi)";
    case Group::kRequests:
      return "Requests";
    case Group::kProxies:
      return "Behind a proxy";
    case Group::kLogging:
      return "Logs";
    case Group::kProcess:
      return "Process";
    case Group::kHooks:
      return "Server hooks";
    case Group::kGunicorn:
      return "Known from gunicorn";
  }
  CORN_CHECK(false);
}

}  // namespace corn::config
