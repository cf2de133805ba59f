// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "ctl/commands.h"
#include "ctl/manual.h"
#include "ctl/render.h"

namespace corn::ctl {
namespace {

// Each script asks for the word after the command, and for options anywhere.
std::string bash() {
  std::string commands;
  std::string cases;
  for (const CommandManual& manual : command_manuals()) {
    commands += (commands.empty() ? "" : " ") + std::string(manual.name);
    if (manual.options.empty()) continue;
    cases += "    " + std::string(manual.name) + ") words=\"" + std::string(manual.options) +
             " $words\" ;;\n";
  }
  return "# bash completion for cornctl\n"
         "_cornctl() {\n"
         "  local words=\"" +
         std::string(common_options()) +
         "\"\n"
         "  local command=\"\" word\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \"$word\" in -*) ;; *) command=\"$word\"; break ;; esac\n"
         "  done\n"
         "  case \"$command\" in\n"
         "    \"\") words=\"" +
         commands + " help $words\" ;;\n" + cases +
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
         "}\n"
         "complete -o default -F _cornctl cornctl";
}

std::string zsh() {
  std::string commands;
  std::string cases;
  for (const CommandManual& manual : command_manuals()) {
    commands += "    '" + std::string(manual.name) + ":" + std::string(manual.summary) + "'\n";
    if (manual.options.empty()) continue;
    cases +=
        "    " + std::string(manual.name) + ") compadd -- " + std::string(manual.options) + " ;;\n";
  }
  return "#compdef cornctl\n"
         "_cornctl() {\n"
         "  local -a commands=(\n" +
         commands +
         "  )\n"
         "  local command=${${words[2,CURRENT-1]}[(r)[^-]*]}\n"
         "  if [[ -z $command ]]; then\n"
         "    _describe command commands\n"
         "  fi\n"
         "  case $command in\n" +
         cases +
         "  esac\n"
         "  case $command in\n"
         "    config) _files ;;\n"
         "  esac\n"
         "  compadd -- " +
         std::string(common_options()) +
         "\n"
         "}\n"
         "_cornctl \"$@\"";
}

std::string fish() {
  std::string text =
      "# fish completion for cornctl\n"
      "complete -c cornctl -f\n"
      "complete -c cornctl -s i -l instance -x -d 'the instance of that name'\n"
      "complete -c cornctl -l control -x -d 'the arbiter at unix:PATH'\n"
      "complete -c cornctl -l json -d 'print JSON'\n"
      "complete -c cornctl -l timeout -x -d 'wait no longer, in seconds'\n"
      "complete -c cornctl -s h -l help -d 'show help'\n";
  for (const CommandManual& manual : command_manuals()) {
    const std::string name(manual.name);
    text += "complete -c cornctl -n __fish_use_subcommand -a " + name + " -d '" +
            std::string(manual.summary) + "'\n";
    if (manual.options.empty()) continue;
    text += "complete -c cornctl -n '__fish_seen_subcommand_from " + name + "' -a '" +
            std::string(manual.options) + "'\n";
  }
  text.pop_back();
  return text;
}

}  // namespace

Outcome run_completion(const CompletionArguments& arguments) {
  if (arguments.shell == "bash") {
    print_line(bash());
  } else if (arguments.shell == "zsh") {
    print_line(zsh());
  } else if (arguments.shell == "fish") {
    print_line(fish());
  } else {
    return fail(ExitCode::kUsage,
                "there is no completion for '" + arguments.shell + "': say bash, zsh or fish");
  }
  return {};
}

}  // namespace corn::ctl
