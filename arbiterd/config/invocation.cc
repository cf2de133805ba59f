// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "arbiterd/config/invocation_layers.h"
#include "arbiterd/config/sources.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

constexpr std::string_view kModulePrefix = "python:";
constexpr std::string_view kFilePrefix = "file:";

bool is_on(const Layer& layer, std::string_view name) {
  return std::any_of(layer.begin(), layer.end(),
                     [&](const Given& given) { return given.setting->name == name; });
}

Mode mode_of(const InvocationLayers& layers) {
  if (is_on(layers.command_line, "help")) return Mode::kHelp;
  if (is_on(layers.command_line, "version")) return Mode::kVersion;
  for (const Layer* layer : {&layers.variable, &layers.command_line}) {
    if (is_on(*layer, "print_config")) return Mode::kPrintConfig;
  }
  for (const Layer* layer : {&layers.variable, &layers.command_line}) {
    if (is_on(*layer, "check_config")) return Mode::kCheckConfig;
  }
  return Mode::kServe;
}

// The strongest -c; nullptr when there is none.
const Given* config_option(const InvocationLayers& layers) {
  for (const Layer* layer : {&layers.command_line, &layers.variable}) {
    for (const Given& given : *layer) {
      if (given.setting->name == "config") return &given;
    }
  }
  return nullptr;
}

std::string absolute(const std::string& directory, std::string_view path) {
  return (std::filesystem::path(directory) / path).lexically_normal().string();
}

base::Status take_config_file(const Given& given, Invocation& invocation) {
  const std::string written(trimmed(std::get<std::string>(given.raw.content)));
  if (written.starts_with(kModulePrefix)) {
    if (written.size() == kModulePrefix.size()) {
      return base::fail(given.prefix() + "the name of a module after python: is wanted");
    }
    invocation.config_file = written;
    invocation.python_config = true;
    return {};
  }
  std::string_view path = written;
  if (path.starts_with(kFilePrefix)) path.remove_prefix(kFilePrefix.size());
  if (path.empty()) return base::fail(given.prefix() + "the name of a file is wanted");
  invocation.config_file = absolute(invocation.working_directory, path);
  invocation.python_config = !path.ends_with(".toml");

  std::error_code error;
  if (std::filesystem::is_directory(invocation.config_file, error)) {
    return base::fail(given.prefix() + "this is a directory; a file is wanted");
  }
  if (::access(invocation.config_file.c_str(), R_OK) != 0) {
    return base::fail_errno(given.prefix() + "cannot read the file", errno);
  }
  return {};
}

void find_config_file(Invocation& invocation) {
  for (const std::string_view name : {"corn.toml", "gunicorn.conf.py"}) {
    const std::string path = absolute(invocation.working_directory, name);
    std::error_code error;
    if (!std::filesystem::exists(path, error)) continue;
    invocation.config_file = path;
    invocation.python_config = name != "corn.toml";
    return;
  }
}

}  // namespace

base::Result<InvocationLayers> invocation_layers(
    const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& environment) {
  InvocationLayers layers;
  for (const char* variable : {"CORN_CMD_ARGS", "GUNICORN_CMD_ARGS"}) {
    const auto found = environment.find(variable);
    if (found == environment.end()) continue;
    const std::string origin = variable;
    const auto words = shell_words(found->second);
    if (!words) return base::fail(origin + ": " + words.error().message);
    base::Result<Layer> layer = parse_options(*words, origin);
    if (!layer) return tl::unexpected(layer.error());
    layers.variable = *std::move(layer);
    break;
  }
  base::Result<Layer> layer = parse_options(arguments, "command line");
  if (!layer) return tl::unexpected(layer.error());
  layers.command_line = *std::move(layer);
  return layers;
}

std::string shown_config_file(const Invocation& invocation) {
  const std::string& directory = invocation.working_directory;
  const std::string inside = directory.ends_with('/') ? directory : directory + "/";
  return invocation.config_file.starts_with(inside) ? invocation.config_file.substr(inside.size())
                                                    : invocation.config_file;
}

base::Result<Invocation> read_invocation(const std::vector<std::string>& arguments,
                                         const std::map<std::string, std::string>& environment,
                                         const std::string& working_directory) {
  const base::Result<InvocationLayers> layers = invocation_layers(arguments, environment);
  if (!layers) return tl::unexpected(layers.error());

  Invocation invocation;
  invocation.arguments = arguments;
  for (const char* name : {"CORN_CMD_ARGS", "GUNICORN_CMD_ARGS", "TMPDIR", "PORT"}) {
    if (environment.contains(name)) invocation.environment[name] = environment.at(name);
  }
  for (const Setting& setting : schema()) {
    const std::string name(setting.environment);
    if (environment.contains(name)) invocation.environment[name] = environment.at(name);
  }
  invocation.working_directory = working_directory;
  invocation.mode = mode_of(*layers);
  if (invocation.mode == Mode::kHelp || invocation.mode == Mode::kVersion) return invocation;

  const Given* given = config_option(*layers);
  if (given == nullptr) {
    find_config_file(invocation);
  } else if (const base::Status taken = take_config_file(*given, invocation); !taken) {
    return tl::unexpected(taken.error());
  }
  return invocation;
}

}  // namespace corn::config
