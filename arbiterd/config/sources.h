// SPDX-License-Identifier: Apache-2.0
// From the outside world to Settings: command line, environment, TOML and Python files.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/config/settings.h"
#include "base/message.h"
#include "base/result.h"

namespace corn::config {

enum class Mode { kServe, kCheckConfig, kPrintConfig, kHelp, kVersion };

// How arbiterd was invoked: remembered for ever, because a reload resolves the same invocation
// anew.
struct Invocation {
  std::vector<std::string> arguments;              // without the program's name
  std::map<std::string, std::string> environment;  // the variables that settings may come from
  std::string working_directory;                   // where arbiterd was started
  Mode mode = Mode::kServe;
  std::string config_file;     // absolute; given by -c or found in working_directory; empty: none
  bool python_config = false;  // config_file must be evaluated by a config host first
  // The settings come from a script that uses the Python API, by which config_file is named; it
  // takes the place of a file and of the application.
  bool script = false;
  // --workerd, or `workerd` in a TOML file: the program that evaluates a Python configuration file
  // must be known before settings are. Absolute; empty: not given.
  std::string workerd;
};

// Reads the command line and CORN_CMD_ARGS (else GUNICORN_CMD_ARGS) far enough to know mode and
// file. A usage error names the option and what is allowed. CORN_SCRIPT_FD in the environment tells
// that a script has started this program, CORN_SCRIPT_NAME which one.
base::Result<Invocation> read_invocation(const std::vector<std::string>& arguments,
                                         const std::map<std::string, std::string>& environment,
                                         const std::string& working_directory);

// Merges all sources, weakest first, and validates. `python` holds the values of config_file where
// python_config. Reads the TOML file itself. Used at start, at every reload, and to check a file.
base::Result<Settings> resolve(const Invocation& invocation,
                               const std::optional<base::ConfigValues>& python);

// Where a Python configuration file is evaluated, as far as that is known without it: by options
// and environment. As in gunicorn `chdir` doesn't change the directory for it, but modules there
// can be imported.
struct Evaluation {
  std::vector<std::string> python_path;
  std::string virtual_env;
};
Evaluation evaluation_of_file(const Invocation& invocation);

// One line for each setting in `loaded` that differs from `running` and that a reload can't change,
// or changes for new listeners only; for the log.
std::vector<std::string> unchangeable_differences(const Settings& running, const Settings& loaded);

// Puts the values that a reload can't change from `running` into `loaded`.
void keep_unchangeable(const Settings& running, Settings& loaded);

// Texts for --help, --print-config, the reference in docs/SETTINGS.md, and the table of the Python
// package, python/corn/settings_table.py; the tables at the end of docs/FROM_GUNICORN.md.
std::string help_text();
std::string print_config(const Settings& settings);
std::string settings_reference();
std::string python_settings_table();
std::string migration_tables();

}  // namespace corn::config
