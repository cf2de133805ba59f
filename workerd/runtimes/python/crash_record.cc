// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/crash_record.h"

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

#include "base/log.h"

namespace corn::python {
namespace {

// Set before the handlers are.
std::atomic<int> stacks{-1};
std::atomic_flag crashing = ATOMIC_FLAG_INIT;

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

Record record;  // too large for the stack of a thread that has overflown it

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

void write_record(int signal_number) {
  record.add(R"({"time":")");
  add_time();
  record.add(R"(","pid":)");
  record.add_number(static_cast<std::uint64_t>(::getpid()));
  record.add(R"(,"level":"CRITICAL","message":"Process crashed by signal )");
  record.add_number(static_cast<std::uint64_t>(signal_number));
  record.add("; its stacks:\\n");
  add_stacks();
  record.add("\"}\n");
  std::string_view rest = record.text();
  while (!rest.empty()) {
    const ssize_t size = ::write(base::log_descriptor(), rest.data(), rest.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(size));
  }
}

void handle(int signal_number) {
  // Another thread that crashes meanwhile waits for the end.
  while (crashing.test_and_set()) ::pause();
  write_record(signal_number);
  std::signal(signal_number, SIG_DFL);
  ::raise(signal_number);
}

}  // namespace

base::Result<int> prepare_crash_record() {
  const int file = ::memfd_create("crash", MFD_CLOEXEC);
  if (file < 0) return base::fail_errno("cannot make a file in memory for crash records", errno);
  stacks = file;
  struct sigaction action {};
  action.sa_handler = &handle;
  // On the stack that faulthandler has set up; raise(3) is to end the process from within.
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    if (::sigaction(signal_number, &action, nullptr) < 0) {
      return base::fail_errno("cannot install a signal handler", errno);
    }
  }
  return file;
}

}  // namespace corn::python
