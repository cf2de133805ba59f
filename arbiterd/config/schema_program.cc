// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/schema_tables.h"

namespace corn::config {

std::vector<Setting> program_settings() {
  return {
      {.name = "config",
       .flags = "-c, --config",
       .placeholder = "FILE",
       .scope = Scope::kInvocation,
       .group = Group::kProgram,
       .default_note = "./corn.toml, else ./gunicorn.conf.py, if there is one",
       .help = "Configuration file: FILE.toml in Corn's form, or a gunicorn file in Python "
               "(FILE.py, file:FILE, python:MODULE).",
       .more = "A value for it inside a Python file has no effect, as in gunicorn."},
      {.name = "check_config",
       .flags = "--check-config",
       .kind = Kind::kSwitch,
       .scope = Scope::kInvocation,
       .group = Group::kProgram,
       .default_text = "false",
       .help = "Check the settings, load the application once, and exit: 0 when all is well."},
      {.name = "print_config",
       .flags = "--print-config",
       .kind = Kind::kSwitch,
       .scope = Scope::kInvocation,
       .group = Group::kProgram,
       .default_text = "false",
       .help = "Print every setting in force and where it comes from, and exit."},
      {.name = "help",
       .flags = "-h, --help",
       .kind = Kind::kSwitch,
       .scope = Scope::kInvocation,
       .group = Group::kProgram,
       .gunicorn = false,
       .default_text = "false",
       .help = "Print this text and exit."},
      {.name = "version",
       .flags = "-v, --version",
       .kind = Kind::kSwitch,
       .scope = Scope::kInvocation,
       .group = Group::kProgram,
       .gunicorn = false,
       .default_text = "false",
       .help = "Print the version and exit."},
  };
}

}  // namespace corn::config
