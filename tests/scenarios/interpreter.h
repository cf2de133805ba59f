// SPDX-License-Identifier: Apache-2.0
// Runs a scenario against the decision core: a text file of commands, each block followed by `----`
// and what the core ordered. README.md beside this file has the language.
#pragma once

#include <string>

namespace corn::scenarios {

// The scenario with every output as it comes out now: equal to `text` if the scenario holds. A
// command that cannot be read shows as "error: ..." in its output.
std::string run(const std::string& text);

// Runs the file. Empty: it holds (or was rewritten); otherwise the differing lines, for people.
std::string check_file(const std::string& path, bool rewrite);

}  // namespace corn::scenarios
