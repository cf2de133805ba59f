// SPDX-License-Identifier: Apache-2.0
#include "ctl/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "ctl/commands.h"
#include "ctl/manual.h"
#include "ctl/render.h"
#include "ctl/session.h"

namespace corn::ctl {
namespace {

// Stands for the minus of "-1", which the parser would take for an option. Not to be typed by
// accident.
constexpr char kMinus = '\x01';

bool is_negative_number(const std::string& word) {
  return word.size() > 1 && word[0] == '-' &&
         std::all_of(word.begin() + 1, word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Everything that parsing fills in; kept by the task.
struct CommandLine {
  CLI::App app{"", "cornctl"};
  Session session;

  StatusArguments status;
  ReloadArguments reload;
  std::vector<std::string> scale_words;
  ScaleArguments scale;
  StopWorkerArguments stop;
  EventsArguments events;
  ShutdownArguments shutdown;
  ConfigShowArguments config_show;
  ConfigCheckArguments config_check;
  CompletionArguments completion;
  DumpArguments dump;

  Task task;
};

// A whole number from `least` to what Number holds; else the complaint is `what`, after the word.
template <typename Number>
CLI::Validator number(Number least, const std::string& what) {
  return {[least, what](const std::string& word) {
            Number value = 0;
            const char* const end = word.data() + word.size();
            const auto parsed = std::from_chars(word.data(), end, value);
            const bool good = parsed.ec == std::errc() && parsed.ptr == end && value >= least;
            return good ? std::string() : "'" + word + "' " + what;
          },
          ""};
}

const CLI::Validator kWorker =
    number<std::int32_t>(1, "is no worker: its pid is wanted, which 'cornctl status' shows");
const CLI::Validator kCount =
    number<std::uint64_t>(1, "is no number of events: 1 or more is wanted");
const CLI::Validator kSequence =
    number<std::uint64_t>(0, "is no event's number: 'cornctl events' shows them");

CLI::App& add_command(CLI::App& parent, const std::string& name, std::function<void()> chosen) {
  CLI::App& command = *parent.add_subcommand(name);
  command.set_help_flag();
  command.fallthrough();  // the common options may follow the command
  command.callback(std::move(chosen));
  return command;
}

void add_common_options(CommandLine& line) {
  CLI::App& app = line.app;
  app.set_help_flag();
  app.require_subcommand(0, 1);  // words after the first command are its own, whatever they are
  app.add_flag("--json", line.session.json);
  app.add_option("--timeout", line.session.timeout)
      ->check(CLI::Range(0.001, 86400.0 * 365))
      ->type_name("SECONDS");
  CLI::Option* control = app.add_option("--control", line.session.control);
  app.add_option("-i,--instance", line.session.instance)->excludes(control);
}

// "2" or "web 2", as scale has them.
void take_scale_words(CommandLine& line) {
  line.scale.change = line.scale_words.back();
  if (line.scale.change.front() == kMinus) line.scale.change.front() = '-';
  if (line.scale_words.size() == 2) line.scale.pool = line.scale_words.front();
}

void add_commands(CommandLine& line) {
  CLI::App& app = line.app;
  const Session& session = line.session;

  CLI::App& status = add_command(
      app, "status", [&] { line.task = [&] { return run_status(session, line.status); }; });
  status.add_option("POOL", line.status.pool);

  CLI::App& reload = add_command(
      app, "reload", [&] { line.task = [&] { return run_reload(session, line.reload); }; });
  reload.add_option("POOL", line.reload.pool);

  CLI::App& scale = add_command(app, "scale", [&] {
    line.task = [&] {
      take_scale_words(line);
      return run_scale(session, line.scale);
    };
  });
  scale.add_option("CHANGE", line.scale_words)->expected(1, 2)->required();
  scale.add_flag("--no-wait", line.scale.no_wait);

  for (const bool now : {false, true}) {
    CLI::App& stop = add_command(app, now ? "kill" : "restart", [&, now] {
      line.stop.now = now;
      line.task = [&] { return run_stop_worker(session, line.stop); };
    });
    stop.add_option("WORKER", line.stop.pid)->required()->check(kWorker);
  }

  CLI::App& dump =
      add_command(app, "dump", [&] { line.task = [&] { return run_dump(session, line.dump); }; });
  dump.add_option("WORKER", line.dump.pid)->required()->check(kWorker);

  CLI::App& events = add_command(
      app, "events", [&] { line.task = [&] { return run_events(session, line.events); }; });
  events.add_flag("-f,--follow", line.events.follow);
  events.add_flag("--whole", line.events.whole);
  events.add_option("-n,--last", line.events.last)->check(kCount);
  events.add_option("--after", line.events.after)->check(kSequence);
  events.add_option("--pool", line.events.pool);

  add_command(app, "reopen-logs", [&] { line.task = [&] { return run_reopen_logs(session); }; });

  CLI::App& shutdown = add_command(
      app, "shutdown", [&] { line.task = [&] { return run_shutdown(session, line.shutdown); }; });
  shutdown.add_flag("--quick", line.shutdown.quick);

  CLI::App& config = add_command(app, "config", [] {});
  config.require_subcommand(1);
  CLI::App& show = add_command(config, "show", [&] {
    line.task = [&] { return run_config_show(session, line.config_show); };
  });
  show.add_option("POOL", line.config_show.pool);
  show.add_flag("--changed", line.config_show.changed);
  CLI::App& check = add_command(config, "check", [&] {
    line.task = [&] { return run_config_check(session, line.config_check); };
  });
  check.add_option("FILE", line.config_check.file)->required();
  check.add_flag("--load", line.config_check.load);

  add_command(app, "upgrade", [&] { line.task = [&] { return run_upgrade(session); }; });
  add_command(app, "ls", [&] { line.task = [&] { return run_ls(session); }; });
  add_command(app, "version", [&] { line.task = [&] { return run_version(session); }; });
  CLI::App& completion = add_command(
      app, "completion", [&] { line.task = [&] { return run_completion(line.completion); }; });
  completion.add_option("SHELL", line.completion.shell)->required();
}

void add_later_commands(CommandLine& line) {
  CLI::App& app = line.app;
  for (const std::string name : {"top", "logs"}) {
    CLI::App& later =
        add_command(app, name, [&line, name] { line.task = [name] { return run_later(name); }; });
    later.fallthrough(false);
    later.allow_extras();  // whatever their options will be
  }
}

Outcome print_help(const std::string& command) {
  std::string text = command.empty() ? general_help() : command_help(command);
  if (text.empty()) {
    return fail(ExitCode::kUsage,
                "there is no command '" + command + "'; 'cornctl help' lists them");
  }
  text.pop_back();  // print_line ends the line
  print_line(text);
  return {};
}

// The first word that is a command with a help text, or nothing.
std::string command_among(const std::vector<std::string>& words) {
  const auto found = std::ranges::find_if(
      words, [](const std::string& word) { return !command_help(word).empty(); });
  return found == words.end() ? "" : *found;
}

// The command whose help is asked for, or nothing: help is wanted whatever else is wrong with the
// line.
std::optional<std::string> help_asked(const std::vector<std::string>& words) {
  if (!words.empty() && words.front() == "help") return words.size() == 1 ? "" : words[1];
  if (std::ranges::find(words, "--help") == words.end() &&
      std::ranges::find(words, "-h") == words.end()) {
    return std::nullopt;
  }
  return command_among(words);
}

}  // namespace

std::vector<std::string> command_names() {
  CommandLine line;
  add_commands(line);
  std::vector<std::string> names;
  for (const CLI::App* command : line.app.get_subcommands(nullptr)) {
    names.push_back(command->get_name());
  }
  return names;
}

Expected<Task> read_command_line(const std::vector<std::string>& arguments) {
  if (arguments == std::vector<std::string>{"--version"}) return read_command_line({"version"});
  if (const auto command = help_asked(arguments)) {
    return [command = *command] { return print_help(command); };
  }
  const auto line = std::make_shared<CommandLine>();
  add_common_options(*line);
  add_commands(*line);
  add_later_commands(*line);
  const bool scales = std::ranges::find(arguments, "scale") != arguments.end();
  std::vector<std::string> words(arguments.rbegin(), arguments.rend());  // as the parser wants them
  for (std::string& word : words) {
    if (scales && is_negative_number(word)) word.front() = kMinus;
  }
  const auto usage = [&](const std::string& message) {
    const std::string command = command_among(arguments);
    return fail(ExitCode::kUsage,
                message + "\nTry 'cornctl help" + (command.empty() ? "" : " " + command) + "'.");
  };
  try {
    line->app.parse(words);
  } catch (const CLI::ExtrasError&) {
    const std::string extra = line->app.remaining(true).front();
    return usage(line->app.get_subcommands().empty()
                     ? "there is no command or option '" + extra + "'"
                     : "'" + extra + "' is not understood here");
  } catch (const CLI::ParseError& error) {
    return usage(error.what());
  }
  if (!line->task) return usage("which command?");
  return [line] { return line->task(); };
}

}  // namespace corn::ctl
