// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <set>

#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

using Strings = std::vector<std::string>;

std::vector<std::string_view> all_flags() {
  std::vector<std::string_view> flags;
  for (const Setting& setting : schema()) {
    for (const std::string_view flag : flags_of(setting)) flags.push_back(flag);
  }
  return flags;
}

bool takes_value(const Setting& setting) { return setting.kind != Kind::kSwitch; }

// The long option that `prefix` is the beginning of; empty when there are none or several.
std::string_view completed(std::string_view prefix) {
  std::string_view only;
  for (const std::string_view flag : all_flags()) {
    if (!flag.starts_with("--") || !flag.starts_with(prefix)) continue;
    if (!only.empty()) return {};
    only = flag;
  }
  return only;
}

tl::unexpected<base::Error> missing_value(const std::string& origin, std::string_view flag,
                                          const Setting& setting) {
  const std::string what =
      setting.name == "config" ? "the name of a configuration file" : wanted(setting);
  return base::fail(fmt::format("{}: {}: a value is missing; {} is wanted", origin, flag, what));
}

// Writes arguments the one way that the library reads like argparse does: long options in full,
// values apart from options. (The library takes "-w=2" for the value "=2", and the word after
// "--pid=" for its value.)
base::Result<Strings> normalized(const Strings& arguments, const std::string& origin) {
  Strings result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      result.insert(result.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i),
                    arguments.end());
      break;
    }
    const bool is_long = argument.starts_with("--");
    if (argument.size() < 2 || argument[0] != '-') {
      result.push_back(argument);
      continue;
    }
    const std::size_t equals = argument.find('=');
    std::string flag = is_long ? argument.substr(0, equals) : argument.substr(0, 2);
    if (is_long && find_flag(flag) == nullptr) {
      if (const std::string_view whole = completed(flag); !whole.empty()) flag = whole;
    }
    const Setting* setting = find_flag(flag);
    if (setting == nullptr || !takes_value(*setting)) {
      result.push_back(is_long && equals != std::string::npos ? flag + argument.substr(equals)
                       : is_long                              ? flag
                                                              : argument);
      continue;
    }
    result.push_back(flag);
    if (is_long && equals != std::string::npos) {
      result.push_back(argument.substr(equals + 1));
    } else if (!is_long && argument.size() > 2) {
      result.push_back(argument.substr(argument[2] == '=' ? 3 : 2));
    } else if (i + 1 < arguments.size() && find_flag(arguments[i + 1]) == nullptr &&
               arguments[i + 1] != "--") {
      result.push_back(arguments[++i]);
    } else if (setting->optional_value) {
      result.emplace_back("auto");
    } else {
      return missing_value(origin, flag, *setting);
    }
  }
  return result;
}

base::Error unknown_option(const std::string& origin, std::string_view argument) {
  const std::string_view flag = argument.substr(0, argument.find('='));
  const std::string_view near = flag.starts_with("--") ? nearest(flag, all_flags()) : "";
  return base::Error{
      fmt::format("{}: there is no option {}{} (`arbiterd --help` lists all)", origin, flag,
                  near.empty() ? std::string() : fmt::format("; did you mean {}?", near))};
}

// The library's parser with the options of the table.
class OptionParser {
 public:
  OptionParser() {
    app_.set_help_flag();
    app_.allow_extras();
    for (const Setting& setting : schema()) {
      if (setting.flags.empty()) continue;
      std::string names;
      for (const std::string_view flag : flags_of(setting)) {
        names += (names.empty() ? "" : ",") + std::string(flag);
      }
      CLI::Option* option = nullptr;
      if (takes_value(setting)) {
        option = app_.add_option(names, texts_[&setting])
                     ->expected(1)
                     ->allow_extra_args(false)
                     ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      } else {
        option = app_.add_flag(names, texts_[&setting])
                     ->disable_flag_override()
                     ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
      }
      settings_[option] = &setting;
    }
  }

  // Arguments that belong to no option come back.
  Strings parse(Strings arguments) {
    std::reverse(arguments.begin(), arguments.end());  // the library takes them from the back
    app_.parse(arguments);
    return app_.remaining();
  }

  // The options that were given, each with its values in the order given.
  [[nodiscard]] std::vector<std::pair<const Setting*, Strings>> given() const {
    std::vector<std::pair<const Setting*, Strings>> all;
    std::set<const CLI::Option*> seen;
    for (const CLI::Option* option : app_.parse_order()) {
      if (seen.insert(option).second) all.emplace_back(settings_.at(option), option->results());
    }
    return all;
  }

 private:
  CLI::App app_;
  std::map<const Setting*, Strings> texts_;
  std::map<const CLI::Option*, const Setting*> settings_;
};

Given given_option(const Setting& setting, const Strings& values, const std::string& origin) {
  Given given{&setting, {}, origin, std::string(long_flag(setting))};
  if (!takes_value(setting)) {
    given.raw.content = setting.flag_value;
    return given;
  }
  given.spelling += ' ';
  if (!setting.repeatable || values.size() == 1) {
    given.raw.content = values.back();
    return given;
  }
  RawValue::List list;
  for (const std::string& value : values) list.push_back(RawValue{value});
  given.raw.content = std::move(list);
  return given;
}

}  // namespace

base::Result<Layer> parse_options(const Strings& arguments, const std::string& origin) {
  if (arguments.empty()) return Layer{};  // making the parser is most of the work
  const base::Result<Strings> normal = normalized(arguments, origin);
  if (!normal) return tl::unexpected(normal.error());

  OptionParser parser;
  Strings rest;
  try {
    rest = parser.parse(*normal);
  } catch (const CLI::Error& error) {
    return base::fail(fmt::format("{}: {}", origin, error.what()));
  }

  Layer layer;
  for (const auto& [setting, values] : parser.given()) {
    layer.push_back(given_option(*setting, values, origin));
  }
  bool options_ended = false;
  const Given* application = nullptr;
  layer.reserve(layer.size() + 1);
  for (const std::string& argument : rest) {
    if (argument == "--" && !options_ended) {
      options_ended = true;
    } else if (!options_ended && argument.size() > 1 && argument[0] == '-') {
      return tl::unexpected(unknown_option(origin, argument));
    } else if (application != nullptr) {
      return base::fail(fmt::format("{}: one application is wanted, but {} and {} are named",
                                    origin, application->raw.text(), in_quotes(argument)));
    } else {
      layer.push_back(Given{find_setting("wsgi_app"), RawValue{argument}, origin, "APP "});
      application = &layer.back();
    }
  }
  return layer;
}

}  // namespace corn::config
