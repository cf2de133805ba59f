// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/log_notes.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

namespace corn::config {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kAccess = "gunicorn.access";
constexpr std::string_view kError = "gunicorn.error";

// Which of gunicorn's loggers have handlers or filters of their own.
struct Configured {
  bool access = false;
  bool error = false;

  void add(std::string_view logger) {
    access = access || logger == kAccess;
    error = error || logger == kError;
  }
};

Configured configured_by(const Json& dictionary) {
  Configured configured;
  if (!dictionary.is_object()) return configured;
  const auto loggers = dictionary.find("loggers");
  if (loggers == dictionary.end() || !loggers->is_object()) return configured;
  for (const auto& [name, logger] : loggers->items()) {
    for (const char* part : {"handlers", "filters"}) {
      if (logger.is_object() && logger.contains(part) && !logger[part].empty()) {
        configured.add(name);
      }
    }
  }
  return configured;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// The form of Python's configparser, as far as logging.config.fileConfig uses it.
Configured configured_by_ini(std::istream& file) {
  Configured configured;
  std::string logger;
  bool has_handlers = false;
  const auto end_section = [&] {
    if (has_handlers) configured.add(logger);
    logger.clear();
    has_handlers = false;
  };
  std::string line;
  while (std::getline(file, line)) {
    const std::string_view text = trim(line);
    if (text.starts_with('[')) end_section();
    const auto separator = text.find_first_of("=:");
    if (separator == std::string_view::npos || text.starts_with('#') || text.starts_with(';')) {
      continue;
    }
    const std::string_view key = trim(text.substr(0, separator));
    const std::string_view value = trim(text.substr(separator + 1));
    if (key == "qualname") logger = value;
    if (key == "handlers") has_handlers = !value.empty();
  }
  end_section();
  return configured;
}

}  // namespace

std::string log_configuration_note(const InForceByName& in_force,
                                   const base::WorkerConfig& worker) {
  Configured configured;
  std::string_view setting;
  if (!worker.log_config_dict.empty()) {
    setting = "logconfig_dict";
    configured = configured_by(Json::parse(worker.log_config_dict, nullptr, false));
  } else if (!worker.log_config_json.empty()) {
    setting = "logconfig_json";
    std::ifstream file(worker.log_config_json);
    configured = configured_by(Json::parse(file, nullptr, false));
  } else if (!worker.log_config_file.empty()) {
    setting = "logconfig";
    std::ifstream file(worker.log_config_file);
    configured = configured_by_ini(file);
  }
  if (!configured.access && !configured.error) return "";
  std::string loggers;
  std::string lines;
  std::string remedies;
  if (configured.access) {
    loggers = kAccess;
    lines = "the access log";
    remedies = "accesslog with access_log_format or log_format";
  }
  if (configured.error) {
    const std::string_view conjunction = configured.access ? " and " : "";
    loggers += fmt::format("{}{}", conjunction, kError);
    lines += fmt::format("{}Corn's own entries of the error log", conjunction);
    remedies += fmt::format("{}errorlog", conjunction);
  }
  return fmt::format(
      "{}: {} gives {} handlers or filters, through which {} do{} not pass, as Python doesn't "
      "write "
      "{}; use {}",
      in_force.at(setting).origin, setting, loggers, lines, configured.error ? "" : "es",
      configured.error ? "them" : "it", remedies);
}

}  // namespace corn::config
