// SPDX-License-Identifier: Apache-2.0
// What cornctl says about itself: one table for the help texts and the shells' completion.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace corn::ctl {

struct CommandManual {
  std::string_view name;      // "scale"
  std::string_view synopsis;  // "scale [POOL] +2|-1|4 [--no-wait]"
  std::string_view summary;   // one line
  std::string_view text;      // the rest of its help: paragraphs, options, examples
  std::string_view options;   // its own options, and words that may follow it, for completion
};

// In the order of the help.
std::span<const CommandManual> command_manuals();

// The options of every command, for completion.
std::string_view common_options();

// `cornctl --help`.
std::string general_help();

// `cornctl help COMMAND`; empty: there is no such command.
std::string command_help(std::string_view command);

}  // namespace corn::ctl
