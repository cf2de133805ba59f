// SPDX-License-Identifier: Apache-2.0
// Messages between arbiterd and a child over its channel. One datagram is one message: a 16-bit
// type, a 16-bit version, then the fields. A peer answers a type or version it doesn't know
// with Unsupported and goes on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/worker_config.h"

namespace corn::base {

inline constexpr std::uint16_t kMessageVersion = 1;
inline constexpr std::size_t kMaxMessageBytes = 128 * 1024;
// Longer texts (tracebacks, dumps) are shortened in the middle before they are sent.
inline constexpr std::size_t kMaxTextBytes = 64 * 1024;

// ---- arbiterd to child ----

// First message; waits in the socket when the child starts.
struct Configure {
  WorkerConfig config;
};
// Finish what is in flight, answer no new connection, and exit 0. After `grace` the worker cuts
// what is left and exits; arbiterd's own deadline stands behind that. `empty_backlog`: nobody is
// left to serve the pool, so accept and serve what waits in the accept queue first, and hand no
// connection over.
struct Drain {
  Milliseconds grace{0};
  bool empty_backlog = false;
};
struct ReopenLogs {};
// The stacks of every thread that Python knows, answered by DumpResult with the same token.
struct Dump {
  std::uint64_t token = 0;
  Milliseconds patience{0};  // the answer is wanted by then, complete or not; 0: in the usual time
};
struct Ping {
  std::uint64_t token = 0;
};

// To a template or script: make a child of arbiterd, which inherits orphans meanwhile, by fork(3).
// Comes with the child's descriptors from kChannelFd on, in order: its channel, in which its
// Configure waits, and for a worker the scoreboard, the listeners, the hand-off ends and the log
// files. Answered by Forked or ForkFailed. What exec'd children get from arbiterd before exec is
// told here.
struct Fork {
  std::uint64_t token = 0;
  bool has_identity = false;  // then user, group and supplementary groups are set
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  bool has_umask = false;
  std::uint32_t umask = 0;
  std::uint64_t descriptor_limit = 0;    // soft RLIMIT_NOFILE; 0: unchanged
  std::vector<std::string> environment;  // "NAME=VALUE", added to what is there
};
// To a template: call a server hook of the configuration, by name; a hook that isn't set is done at
// once. Calls and forks are obeyed in the order in which they come. Answered by HookDone.
struct RunHook {
  std::uint64_t token = 0;
  std::string name;       // "child_exit"
  std::string arguments;  // JSON object, see workerd/runtimes/python/hooks.h
};
// To a script, whose arbiter ends: leave run() by SystemExit with this status.
struct Leave {
  std::int32_t status = 0;
};

// ---- child to arbiterd ----

struct Hello {
  std::int32_t pid = 0;
  std::string version;  // Corn's
};
// The application is loaded and the worker accepts connections. kCheck: the application loads.
// kTemplate: workers can be forked.
struct Ready {};
enum class BootFailure : std::uint8_t {
  kApplication,  // cannot be imported, found or called: arbiterd exits 4 on a first start
  kWorker,       // anything else that keeps a worker from serving: 3
};
struct BootFailed {
  BootFailure kind = BootFailure::kWorker;
  std::string text;  // one sentence, then the traceback where there is one
};
// The worker has reached a limit of its own and asks to be replaced. It serves on until Drain.
struct Retiring {
  std::string cause;  // a name from the contract's list, "max-requests"
};
struct ThreadStack {
  std::uint32_t thread_id = 0;  // gettid(2)
  std::string python;           // innermost frame first, one a line
};
struct DumpResult {
  std::uint64_t token = 0;
  std::string text;  // why stacks are missing; empty: they are all there
  std::vector<ThreadStack> threads;
};
struct Pong {
  std::uint64_t token = 0;
};
// A name assigned at the top level of a Python configuration file. `value` is the JSON form of the
// value where it has one; callables and other objects have an empty `value` and their type's name.
struct ConfigValue {
  std::string name;
  std::string value;
  std::string type;
  std::uint32_t line = 0;  // of the (last) assignment or def; 0 when not known
};
struct ConfigValues {
  std::vector<ConfigValue> values;
};
struct ConfigFailed {
  std::string text;  // "FILE:LINE: what", then the traceback
};
struct Forked {
  std::uint64_t token = 0;
  std::int32_t pid = 0;  // a child of arbiterd already
};
struct ForkFailed {
  std::uint64_t token = 0;
  std::string text;  // a sentence, with the traceback where a hook has failed
};
struct HookDone {
  std::uint64_t token = 0;
  std::string error;  // a sentence, then the traceback; empty: it returned
};
// Files that code of this process was read from, or could not be, since the last such message.
// Only with WorkerConfig::report_files.
struct LoadedFiles {
  std::vector<std::string> paths;  // absolute
};
// ---- either way ----
struct Unsupported {
  std::uint16_t type = 0;
  std::uint16_t version = 0;
};

// ---- worker to the arbiter that adopts it, first message on a new channel ----

// Comes with descriptors: the scoreboard, then `listeners` listening sockets, then, with
// `hand_off`, the two ends of the pool's hand-off queue.
struct Offer {
  std::uint64_t worker_id = 0;
  bool ready = false;           // Ready was or would have been sent
  std::string retiring;         // the cause, if Retiring was or would have been sent
  std::uint32_t listeners = 0;  // at most kMaxOfferedListeners
  bool hand_off = false;
};
inline constexpr std::size_t kMaxOfferedListeners = 250;  // SCM_MAX_FD is 253 (unix(7))

// ---- arbiterd to child ----

// Requests that have been inside the application for `limit` have had their time: they are given
// up, with their stacks in the log. For everything else this is Drain, and the worker exits as soon
// as nothing else is left.
struct EndOverdue {
  Milliseconds limit{0};
  Milliseconds grace{0};
};

// ReopenLogs to a process that may lack the right to: comes with a descriptor for each of these log
// files, opened anew. What the process has beside them it opens itself.
struct TakeLogs {
  std::vector<std::string> paths;
};

using Message =
    std::variant<Configure, Drain, ReopenLogs, Dump, Ping, Hello, Ready, BootFailed, Retiring,
                 DumpResult, Pong, ConfigValues, ConfigFailed, Unsupported, Offer, Fork, RunHook,
                 Leave, Forked, ForkFailed, HookDone, EndOverdue, LoadedFiles, TakeLogs>;

// Bytes of one datagram, at most kMaxMessageBytes; fails when the message doesn't fit.
Result<std::string> encode(const Message& message);

// Reads one datagram from an untrusted peer. An unknown type or version comes back as Unsupported
// with the peer's numbers; malformed fields are an error.
Result<Message> decode(std::string_view datagram);

// `text` cut to `limit` bytes, its middle replaced by a note of how much is missing.
std::string shorten_middle(std::string_view text, std::size_t limit = kMaxTextBytes);

}  // namespace corn::base
