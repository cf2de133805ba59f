// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/crash_record.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <string_view>

#include "base/unique_fd.h"
#include "workerd/runtimes/python/native_trace.h"

namespace corn::python {
namespace {

// Set before the handlers are.
std::atomic<int> log_file{-1};
std::atomic<int> stacks{-1};  // -1: the log is text, and faulthandler writes to it

// The first thread that crashed, and of what.
std::atomic<pid_t> crashed_thread{0};
std::atomic<int> crash_signal{0};

// A text of limited size. Nothing in here or in the handler allocates, locks or looks at the
// locale: see signal-safety(7).
class Record {
 public:
  void add(char c) {
    if (size_ < bytes_.size()) bytes_[size_++] = c;
  }
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
  void add_hexadecimal(std::uint64_t number) {
    std::array<char, 16> reversed{};
    std::size_t count = 0;
    do {
      reversed[count++] = "0123456789abcdef"[number & 15U];
      number >>= 4U;
    } while (number > 0);
    while (count > 0) add(reversed[--count]);
  }
  void add_number(std::uint64_t number, int digits = 1) {
    std::array<char, 20> reversed{};
    std::size_t count = 0;
    for (; number > 0 || static_cast<int>(count) < digits; number /= 10) {
      reversed[count++] = static_cast<char>('0' + number % 10);
    }
    while (count > 0) add(reversed[--count]);
  }
  // faulthandler writes ASCII. Leaves room for the record's end.
  void add_json(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (const char c : text) {
      if (size_ + 16 > bytes_.size()) return;
      const auto byte = static_cast<unsigned char>(c);
      if (c == '\n') {
        add("\\n");
      } else if (c == '"' || c == '\\') {
        add('\\');
        add(c);
      } else if (byte < 0x20 || byte >= 0x7f) {
        add("\\u00");
        add(kDigits[byte >> 4U]);
        add(kDigits[byte & 15U]);
      } else {
        add(c);
      }
    }
  }
  [[nodiscard]] std::string_view text() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, 60 * 1024> bytes_{};
  std::size_t size_ = 0;
};

// Too large for the stack of a thread that has overflown it.
Record record;
NativeTrace trace;

// In UTC: the local time zone can't be had here.
void add_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::chrono::sys_seconds time{std::chrono::seconds(now.tv_sec)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  record.add_number(static_cast<std::uint64_t>(static_cast<int>(date.year())), 4);
  record.add('-');
  record.add_number(static_cast<unsigned>(date.month()), 2);
  record.add('-');
  record.add_number(static_cast<unsigned>(date.day()), 2);
  record.add('T');
  record.add_number(static_cast<std::uint64_t>(clock.hours().count()), 2);
  record.add(':');
  record.add_number(static_cast<std::uint64_t>(clock.minutes().count()), 2);
  record.add(':');
  record.add_number(static_cast<std::uint64_t>(clock.seconds().count()), 2);
  record.add('.');
  record.add_number(static_cast<std::uint64_t>(now.tv_nsec / 1000), 6);
  record.add("+0000");
}

void add_stacks() {
  std::array<char, 512> piece;
  off_t offset = 0;
  for (;;) {
    const ssize_t size = ::pread(stacks.load(), piece.data(), piece.size(), offset);
    if (size <= 0) return;
    record.add_json({piece.data(), static_cast<std::size_t>(size)});
    offset += size;
  }
}

bool is_json() { return stacks.load() >= 0; }

// A line of the native stack, in the log's form.
void add_line(std::string_view a, std::string_view b = {}, std::string_view c = {}) {
  for (const std::string_view part : {a, b, c}) {
    is_json() ? record.add_json(part) : record.add(part);
  }
}

void begin_record() {
  if (!is_json()) return;
  record.add(R"({"time":")");
  add_time();
  record.add(R"(","pid":)");
  record.add_number(static_cast<std::uint64_t>(::getpid()));
  record.add(R"(,"level":"CRITICAL","message":"Process crashed by signal )");
  record.add_number(static_cast<std::uint64_t>(crash_signal.load()));
  record.add("; its stacks:\\n");
  add_stacks();
}

void add_native_stack() {
  add_line("\nNative stack of thread ");
  record.add_number(static_cast<std::uint64_t>(crashed_thread.load()));
  add_line(" (most recent call first):\n");
  take_native_trace(trace);
  for (std::size_t i = 0; i < trace.size; ++i) {
    const NativeSymbol found = find_symbol(trace.addresses[i]);
    const std::string_view what = found.symbol.empty() ? found.object : found.symbol;
    add_line("  ", what, what.empty() ? "0x" : "+0x");
    record.add_hexadecimal(found.offset);
    if (found.symbol.empty()) {
      add_line("\n");
    } else {
      add_line(" (", found.object, ")\n");
    }
  }
  if (trace.size == NativeTrace::kMostFrames) add_line("  (further frames are not shown)\n");
}

void write_record() {
  if (is_json()) record.add("\"}\n");
  std::string_view rest = record.text();
  while (!rest.empty()) {
    const ssize_t size = ::write(log_file.load(), rest.data(), rest.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(size));
  }
}

void handle(int signal_number) {
  const pid_t thread = ::gettid();
  pid_t nobody = 0;
  if (crashed_thread.compare_exchange_strong(nobody, thread)) {
    crash_signal = signal_number;
    begin_record();
    add_native_stack();
  } else if (nobody != thread) {
    // Another thread that crashes meanwhile waits for the end.
    for (;;) ::pause();
  } else {
    // The walk itself has crashed: on a stack that was overwritten.
    add_line("  (the stack can't be followed further)\n");
  }
  write_record();
  std::signal(crash_signal.load(), SIG_DFL);
  ::raise(crash_signal.load());
}

}  // namespace

base::Result<int> prepare_crash_record(int log, bool json) {
  log_file = log;
  if (json) {
    const int file = ::memfd_create("crash", MFD_CLOEXEC);
    if (file < 0) return base::fail_errno("cannot make a file in memory for crash records", errno);
    stacks = file;
  }
  prepare_native_trace();
  struct sigaction action {};
  action.sa_handler = &handle;
  // On the thread's CrashStack, if it has one; raise(3) is to end the process from within.
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    if (::sigaction(signal_number, &action, nullptr) < 0) {
      return base::fail_errno("cannot install a signal handler", errno);
    }
  }
  return json ? stacks.load() : log;
}

base::Status renew_crash_record() {
  const int number = stacks.load();
  if (number < 0) return {};
  const base::UniqueFd file(::memfd_create("crash", MFD_CLOEXEC));
  if (!file || ::dup3(file.get(), number, O_CLOEXEC) < 0) {
    return base::fail_errno("cannot make a file in memory for crash records", errno);
  }
  return {};
}

}  // namespace corn::python
