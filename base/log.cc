// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <mutex>
#include <utility>

#include "base/fork_mutex.h"
#include "base/json_text.h"
#include "base/log_sink.h"

namespace corn::base {
namespace {

using Sinks = std::vector<std::shared_ptr<LogSink>>;

struct State {
  ForkMutex mutex;  // guards options, owned, sinks
  LogOptions options;
  std::shared_ptr<const Sinks> sinks;          // null: there are none
  UniqueFd owned;                              // the file; empty while on standard error
  std::atomic<int> descriptor{STDERR_FILENO};  // what lines are written to
  std::atomic<int> threshold{static_cast<int>(LogLevel::kInfo)};
  std::atomic<bool> json{false};
  std::atomic<bool> has_sinks{false};
};

State& state() {
  static auto* instance = new State;  // lives as long as the process: exit handlers may log
  return *instance;
}

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarning:
      return "WARNING";
    case LogLevel::kError:
      return "ERROR";
    case LogLevel::kCritical:
      return "CRITICAL";
  }
  return "?";
}

void append_code(std::string& out, std::string_view bytes) {
  for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
}

// Control characters and what is no UTF-8: a terminal may obey the C1 controls, in UTF-8
// (U+0080 to U+009F) or as bytes.
void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f ||
                         (byte == 0xc2 && static_cast<unsigned char>(character.back()) < 0xa0);
    if (control || length == 0) {
      append_code(out, character);
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
}

Result<UniqueFd> open_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644));
  if (!fd) return fail_errno("cannot open the log file '" + path + "'", errno);
  return fd;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // a log that can't be written must not stop the service
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char& c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      append_code(out, {&c, 1});
    }
  }
  return out;
}

Status open_log(const LogOptions& options, UniqueFd file) {
  if (options.path != "-" && !file) {
    auto opened = open_file(options.path);
    if (!opened) return tl::unexpected(opened.error());
    file = std::move(*opened);
  }
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.options = options;
  s.descriptor = file ? file.get() : STDERR_FILENO;
  s.owned = std::move(file);
  s.threshold = static_cast<int>(options.level);
  s.json = options.format == LogFormat::kJson;
  return {};
}

Status reopen_log(int file) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (!s.owned) return {};
  UniqueFd opened;
  if (file < 0) {
    auto by_name = open_file(s.options.path);
    if (!by_name) return tl::unexpected(by_name.error());
    opened = std::move(*by_name);
    file = opened.get();
  }
  // dup3 keeps the descriptor's number, so that a line being written by another thread goes to
  // one file or the other, never to a closed descriptor.
  if (::dup3(file, s.owned.get(), O_CLOEXEC) < 0) {
    return fail_errno("cannot reopen the log file '" + s.options.path + "'", errno);
  }
  return {};
}

int log_descriptor() { return state().descriptor; }

bool log_enabled(LogLevel level) {
  const State& s = state();
  if (static_cast<int>(level) >= s.threshold) return true;
  return level >= LogLevel::kWarning && s.has_sinks;
}

void set_log_sinks(Sinks sinks) {
  State& s = state();
  std::shared_ptr<const Sinks> next;
  if (!sinks.empty()) next = std::make_shared<const Sinks>(std::move(sinks));
  const std::lock_guard lock(s.mutex);
  s.sinks.swap(next);  // the old ones end when the lock is open again: they may log
  s.has_sinks = s.sinks != nullptr;
}

Sinks log_sinks() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  return s.sinks ? *s.sinks : Sinks();
}

void log_line(LogLevel level, std::string_view text) {
  if (!log_enabled(level)) return;
  State& s = state();
  const bool shown = static_cast<int>(level) >= s.threshold;
  bool taken = false;
  thread_local bool telling = false;
  if (s.has_sinks && !telling) {
    telling = true;
    std::shared_ptr<const Sinks> sinks;
    {
      const std::lock_guard lock(s.mutex);
      sinks = s.sinks;
    }
    if (sinks) {
      for (const auto& sink : *sinks) taken = sink->take(level, text, shown) || taken;
    }
    telling = false;
  }
  if (shown && !taken) write_log_line(level, text);
}

void write_log_line(LogLevel level, std::string_view text) {
  State& s = state();
  const auto wall = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(wall);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::string line;
  line.reserve(text.size() + 96);
  if (s.json) {
    const auto micros =
        std::chrono::duration_cast<std::chrono::microseconds>(wall.time_since_epoch()).count() %
        1000000;
    line += fmt::format(
        R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:06}{:%z}","pid":{},"level":"{}","message":")", local,
        micros, local, ::getpid(), name_of(level));
    append_json_text(text, line);
    line += "\"}\n";
  } else {
    line += fmt::format("[{:%Y-%m-%d %H:%M:%S %z}] [{}] [{}] ", local, ::getpid(), name_of(level));
    append_escaped(line, text);
    if (line.back() != '\n') line += '\n';
  }
  write_all(s.descriptor, line);
}

}  // namespace corn::base
