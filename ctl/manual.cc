// SPDX-License-Identifier: Apache-2.0
#include "ctl/manual.h"

#include <algorithm>
#include <array>

namespace corn::ctl {
namespace {

constexpr std::array kManuals{
    CommandManual{"status", "status [POOL]", "show the arbiter, its pools and workers",
                  R"(Shows the arbiter, each pool (or only POOL) and each worker:
  STATE  BOOTING   loading the application
         READY     serving, with room for requests
         BUSY      serving, every application thread in a request
         DRAINING  finishing its requests, then it exits
         STOPPING  told to die
  GEN    generation of code and settings; every reload makes the next
  IN     requests inside the application now
  BUSY   share of its thread time spent inside the application

Examples:
  cornctl status
  cornctl status --json | jq '.pools[].workers[] | select(.state == "BUSY")'
)",
                  ""},
    CommandManual{"reload", "reload [POOL]",
                  "load code and settings anew, without losing a request",
                  R"(Reads the settings again and replaces all workers, or only POOL's. New workers
boot first; when they are ready, the old ones finish their requests and exit.
Waits for all of that and shows progress on standard error.

If the new code cannot boot, the old workers serve on; the application's
traceback is printed, and the exit status is 1.

Examples:
  cornctl reload
  cornctl reload web --timeout 300
)",
                  ""},
    CommandManual{
        "scale", "scale [POOL] +2|-1|4 [--no-wait]", "change the number of workers",
        R"(Gives a pool two workers more (+2), one fewer (-1), or four in all (4). POOL may
be left out where there is one. Prints 'BEFORE -> AFTER' when new workers are
ready and surplus ones have finished their requests and exited. The new number
outlives reloads.

Options:
  --no-wait   return as soon as the number is set

Examples:
  cornctl scale +2
  cornctl scale web 8 --no-wait
)",
        "--no-wait"},
    CommandManual{"restart", "restart WORKER", "replace one worker gracefully",
                  R"(Replaces the worker with the pid WORKER: its successor is ready before it
finishes its requests and exits.

Example:
  cornctl restart 4711
)",
                  ""},
    CommandManual{"kill", "kill WORKER", "kill one worker now; it is replaced",
                  R"(Kills the worker with the pid WORKER, requests and all, and waits for its
successor. For a worker that hangs; 'restart' loses nothing.

Example:
  cornctl kill 4711
)",
                  ""},
    CommandManual{"dump", "dump WORKER", "show what one worker is doing, hung or not",
                  R"(Shows the threads of the worker with the pid WORKER: each one's name, state and
kernel wait channel, the request it is in or was in last, and its Python and its
native stack, innermost frame first. States: R running, S asleep, D in
uninterruptible sleep (the kernel waits, often for a disk or NFS), T stopped.
What keeps the worker from running or answering, and why stacks are missing,
stands in the first lines.
The worker serves on.

Examples:
  cornctl dump 4711
  cornctl dump 4711 --json | jq '.threads[].request'
)",
                  ""},
    CommandManual{"events", "events [-f] [-n N] [--after N] [--pool POOL] [--whole]",
                  "what has happened, and with -f what happens",
                  R"(Prints the instance's history: number, time, what happened, worker, details.

Options:
  -f, --follow   go on with events as they happen
  -n, --last N   only the last N
  --after N      only those after number N
  --pool POOL    only those of POOL, and of the instance as a whole
  --whole        details with all their lines, tracebacks too

Examples:
  cornctl events -n 20
  cornctl events -f --json
)",
                  "-f --follow -n --last --after --pool --whole"},
    CommandManual{"upgrade", "upgrade", "become the program on disk, without losing a request",
                  R"(For after a new version of Corn was installed: the arbiter becomes the program
that is on disk now (as signal USR2 does), with the same pid, sockets, workers
and history, and reloads. Prints 'VERSION -> VERSION' when the old workers have
gone.

The new program is tried first. If it could not go on with the settings as they
are now, nothing changes; its words are printed, and the exit status is 1.

Example:
  apt-get install corn && cornctl upgrade
)",
                  ""},
    CommandManual{"reopen-logs", "reopen-logs", "open log files anew after a rotation",
                  R"(Opens all log files anew under their old names, workers' too (as signal USR1
does). To be called by whatever has renamed them, for example in logrotate's
postrotate section. Exits 1 if a file can't be opened: the old one stays in use.
)",
                  ""},
    CommandManual{"shutdown", "shutdown [--quick]", "stop the instance",
                  R"(Stops the instance when requests in flight have ended, at the latest after its
graceful_timeout (as signal TERM does). Returns when that has begun.

Options:
  --quick   do not wait for requests (as signal INT does)
)",
                  "--quick"},
    CommandManual{"config", "config show [POOL] | config check FILE",
                  "show settings in force; check a file",
                  R"(show [POOL]    every setting, its value, and where that came from
  --changed    only what is not a default
check FILE     reads FILE as a start with '-c FILE' would; changes nothing.
               Exit status 1 if it has mistakes.
  --load       loads its applications too

Examples:
  cornctl config show --changed
  cornctl config check corn.toml && cornctl reload
)",
                  "show check --changed --load"},
    CommandManual{"ls", "ls", "list the instances that run on this machine",
                  R"(Lists the instances in $XDG_RUNTIME_DIR/corn, /run/corn and /tmp/corn-UID.
)",
                  ""},
    CommandManual{"version", "version", "show cornctl's version, and the arbiter's",
                  R"(Shows this program's version, and that of the arbiter, where one is found. They
differ after a new version was installed, until the arbiter is started anew.
)",
                  ""},
    CommandManual{"completion", "completion bash|zsh|fish", "print a completion script for a shell",
                  R"(Examples:
  source <(cornctl completion bash)
  cornctl completion zsh > ~/.zfunc/_cornctl
  cornctl completion fish > ~/.config/fish/completions/cornctl.fish
)",
                  "bash zsh fish"},
};

constexpr std::string_view kCommonOptions =
    R"(Options, before or after the command:
  -i, --instance NAME   the instance NAME ('cornctl ls' lists them)
  --control ADDRESS     the arbiter at ADDRESS: unix:PATH
  --json                print JSON: one document, or one a line for events and
                        reload
  --timeout SECONDS     wait no longer (120 for commands that wait for workers,
                        10 for others; what has begun goes on)
  -h, --help            this help
)";

}  // namespace

std::span<const CommandManual> command_manuals() { return kManuals; }

std::string_view common_options() { return "-i --instance --control --json --timeout --help"; }

std::string general_help() {
  std::string text = R"(cornctl - control a running Corn instance

Usage: cornctl [OPTIONS] COMMAND

Commands:
)";
  std::size_t widest = 0;
  for (const CommandManual& manual : kManuals) widest = std::max(widest, manual.name.size());
  for (const CommandManual& manual : kManuals) {
    text += "  ";
    text += manual.name;
    text += std::string(widest - manual.name.size() + 2, ' ');
    text += manual.summary;
    text += '\n';
  }
  text += "'cornctl help COMMAND' says more, with examples.\n\n";
  text += kCommonOptions;
  text += R"(
Without -i and --control the address is taken from $CORN_CONTROL; else there
must be exactly one instance running.

Exit status: 0 done, 1 the operation failed, 2 usage, 3 no arbiter reached,
4 timed out, 5 not allowed.
)";
  return text;
}

std::string command_help(std::string_view command) {
  const auto manual = std::ranges::find(kManuals, command, &CommandManual::name);
  if (manual == kManuals.end()) return {};
  std::string text = "cornctl ";
  text += manual->name;
  text += " - ";
  text += manual->summary;
  text += "\n\nUsage: cornctl [OPTIONS] ";
  text += manual->synopsis;
  text += "\n\n";
  text += manual->text;
  if (!manual->text.empty()) text += '\n';
  text += kCommonOptions;
  return text;
}

}  // namespace corn::ctl
