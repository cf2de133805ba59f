// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "arbiterd/config/file_layers.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

RawValue raw_value(const toml::node& node) {
  if (const auto* text = node.as_string()) return {text->get()};
  if (const auto* number = node.as_integer()) return {number->get()};
  if (const auto* number = node.as_floating_point()) return {number->get()};
  if (const auto* value = node.as_boolean()) return {value->get()};
  if (const auto* array = node.as_array()) {
    RawValue::List list;
    for (const toml::node& element : *array) list.push_back(raw_value(element));
    return {std::move(list)};
  }
  if (const auto* table = node.as_table()) {
    RawValue::Table entries;
    for (const auto& [key, value] : *table) {
      entries.push_back({std::string(key.str()), raw_value(value)});
    }
    return {std::move(entries)};
  }
  return {RawValue::Opaque{"date or time"}};
}

class Reader {
 public:
  Reader(const std::string& shown, Problems& problems) : shown_(shown), problems_(problems) {}

  FileLayers read(const toml::table& root) {
    FileLayers layers;
    for (const auto& [key, node] : root) {
      const toml::table* table = node.as_table();
      if (key.str() == "arbiter" && table != nullptr) {
        layers.arbiter = read_settings(*table, "[arbiter]", for_arbiter);
      } else if (key.str() == "pool" && table != nullptr) {
        read_pools(*table, layers.pools);
      } else {
        report_stray(key.str(), place(node));
      }
    }
    // The library sorts by name; a person reads by line.
    std::sort(layers.pools.begin(), layers.pools.end(),
              [this](const PoolLayer& a, const PoolLayer& b) {
                return line_of_pool_.at(a.name) < line_of_pool_.at(b.name);
              });
    return layers;
  }

 private:
  [[nodiscard]] std::string place(const toml::node& node) const {
    const toml::source_index line = node.source().begin.line;
    return line == 0 ? shown_ : fmt::format("{}:{}", shown_, line);
  }

  void report_stray(std::string_view key, const std::string& where) {
    const Setting* setting = find_setting(key);
    if (setting != nullptr && setting->scope != Scope::kInvocation) {
      problems_.add(fmt::format("{}: {} stands outside of the tables; it belongs in {}", where, key,
                                for_pool(*setting) ? "[pool.NAME]" : "[arbiter]"));
    } else {
      problems_.add(fmt::format("{}: {} is not known here; [arbiter] and [pool.NAME] are wanted",
                                where, key));
    }
  }

  void read_pools(const toml::table& pools, std::vector<PoolLayer>& layers) {
    for (const auto& [key, node] : pools) {
      const std::string name(key.str());
      const toml::table* table = node.as_table();
      if (table == nullptr) {
        const Setting* setting = find_setting(name);
        problems_.add(fmt::format("{}: {} stands in [pool]; {} is wanted", place(node), name,
                                  setting != nullptr ? "a pool with a name, [pool.NAME],"
                                                     : fmt::format("a table, [pool.{}],", name)));
        continue;
      }
      if (!is_pool_name(name)) {
        problems_.add(
            fmt::format("{}: [pool.{}]: a name of at most 32 letters, digits, '-' and "
                        "'_' is wanted",
                        place(node), in_quotes(name)));
        continue;
      }
      line_of_pool_[name] = node.source().begin.line;
      layers.push_back({name, place(node), read_settings(*table, "[pool." + name + "]", for_pool)});
    }
  }

  static bool is_pool_name(std::string_view name) {
    constexpr std::size_t kLongest = 32;
    return !name.empty() && name.size() <= kLongest &&
           std::all_of(name.begin(), name.end(), [](char c) {
             return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '-' || c == '_';
           });
  }

  Layer read_settings(const toml::table& table, const std::string& heading,
                      bool (*belongs)(const Setting&)) {
    Layer layer;
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const Setting* setting = find_setting(name);
      if (setting == nullptr) {
        report_unknown(name, node, heading);
      } else if (setting->scope == Scope::kInvocation) {
        problems_.add(fmt::format("{}: {} is an option of the command line, not of a file",
                                  place(node), name));
      } else if (setting->kind == Kind::kHook && setting->support == Support::kImplemented) {
        problems_.add(
            fmt::format("{}: {} is a hook, a Python function; hooks are set in a Python "
                        "file, such as gunicorn.conf.py",
                        place(node), name));
      } else if (!belongs(*setting)) {
        problems_.add(fmt::format("{}: {} stands in {}; it belongs in {}", place(node), name,
                                  heading, for_pool(*setting) ? "[pool.NAME]" : "[arbiter]"));
      } else {
        layer.push_back({setting, raw_value(node), place(node), name + " = "});
      }
    }
    return layer;
  }

  void report_unknown(const std::string& name, const toml::node& node, const std::string& heading) {
    const std::string near = nearest_setting(name);
    problems_.add(
        fmt::format("{}: there is no setting {} in {}{}", place(node), name, heading,
                    near.empty() ? std::string() : fmt::format("; did you mean {}?", near)));
  }

  // People also write an option's name for the setting's: keep_alive for keepalive.
  static std::string nearest_setting(std::string_view name) {
    std::vector<std::string_view> candidates;
    for (const Setting& setting : schema()) {
      if (setting.scope == Scope::kInvocation || setting.support == Support::kRefused) continue;
      candidates.push_back(setting.name);
      for (std::string_view flag : flags_of(setting)) {
        if (flag.starts_with("--")) candidates.push_back(flag.substr(2));
      }
    }
    const std::string_view near = nearest(name, candidates);
    if (near.empty()) return {};
    const Setting* setting = find_setting(near);
    if (setting == nullptr) setting = find_flag("--" + std::string(near));
    return std::string(setting->name);
  }

  const std::string& shown_;
  Problems& problems_;
  std::map<std::string, toml::source_index> line_of_pool_;
};

}  // namespace

base::Result<FileLayers> parse_toml(std::string_view text, const std::string& shown,
                                    Problems& problems) {
  try {
    const toml::table root = toml::parse(text, std::string_view(shown));
    return Reader(shown, problems).read(root);
  } catch (const toml::parse_error& error) {
    return base::fail(fmt::format("{}:{}: this is not TOML: {}", shown, error.source().begin.line,
                                  error.description()));
  }
}

base::Result<FileLayers> read_toml(const std::string& path, const std::string& shown,
                                   Problems& problems) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    return base::fail_errno("cannot read the configuration file " + shown, error);
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return base::fail("cannot read the configuration file " + shown);
  return parse_toml(text, shown, problems);
}

}  // namespace corn::config
