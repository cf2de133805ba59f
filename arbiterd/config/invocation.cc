// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "arbiterd/config/file_layers.h"
#include "arbiterd/config/invocation_layers.h"
#include "arbiterd/config/sources.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

constexpr std::string_view kModulePrefix = "python:";
constexpr std::string_view kFilePrefix = "file:";

const Given* find_given(const Layer& layer, std::string_view name) {
  const auto found = std::find_if(layer.begin(), layer.end(),
                                  [&](const Given& given) { return given.setting->name == name; });
  return found == layer.end() ? nullptr : &*found;
}

// The strongest option of that name; nullptr when there is none.
const Given* find_option(const InvocationLayers& layers, std::string_view name) {
  const Given* given = find_given(layers.command_line, name);
  return given != nullptr ? given : find_given(layers.variable, name);
}

Mode mode_of(const InvocationLayers& layers) {
  if (find_option(layers, "help") != nullptr) return Mode::kHelp;
  if (find_option(layers, "version") != nullptr) return Mode::kVersion;
  if (find_option(layers, "print_config") != nullptr) return Mode::kPrintConfig;
  return find_option(layers, "check_config") != nullptr ? Mode::kCheckConfig : Mode::kServe;
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

// Mistakes in the file, and in this value, are told when the settings are resolved.
void take_workerd(const InvocationLayers& layers, Invocation& invocation) {
  FileLayers file;
  if (!invocation.config_file.empty() && !invocation.python_config) {
    Problems ignored;
    file =
        read_toml(invocation.config_file, invocation.config_file, ignored).value_or(FileLayers{});
  }
  const Given* given = find_option(layers, "workerd");
  if (given == nullptr) given = find_given(file.arbiter, "workerd");
  const auto* path = given == nullptr ? nullptr : std::get_if<std::string>(&given->raw.content);
  if (path == nullptr || trimmed(*path).empty()) return;
  invocation.workerd = absolute(invocation.working_directory, trimmed(*path));
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

  const Given* given = find_option(*layers, "config");
  invocation.script = environment.contains("CORN_SCRIPT_FD");
  if (invocation.script) {
    const auto name = environment.find("CORN_SCRIPT_NAME");
    const bool named = name != environment.end() && !name->second.empty();
    invocation.config_file = absolute(working_directory, named ? name->second : "script");
    invocation.python_config = true;
  } else if (given == nullptr) {
    find_config_file(invocation);
  } else if (const base::Status taken = take_config_file(*given, invocation); !taken) {
    return tl::unexpected(taken.error());
  }
  take_workerd(*layers, invocation);
  return invocation;
}

}  // namespace corn::config
