// SPDX-License-Identifier: Apache-2.0
// A value as some source wrote it, before anybody has asked whether it makes sense: text from a
// command line, a TOML node, or the JSON form of a Python object.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace corn::config {

struct RawValue {
  struct None {};  // Python's None
  struct Opaque {
    std::string type;  // an object without a JSON form: "function", "Path"
  };
  using List = std::vector<RawValue>;
  struct Entry;
  using Table = std::vector<Entry>;  // in the order written

  std::variant<None, bool, std::int64_t, double, std::string, List, Table, Opaque> content;

  // As TOML would write it, for messages; an opaque object as "<function>".
  [[nodiscard]] std::string text() const;
  // As JSON; an opaque object as null.
  [[nodiscard]] std::string json() const;
};

struct RawValue::Entry {
  std::string name;
  RawValue value;
};

// `text` as a TOML basic string, quotes included.
std::string in_quotes(std::string_view text);

}  // namespace corn::config
