// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/pid_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <ctime>
#include <fstream>
#include <optional>
#include <utility>

#include "arbiterd/os/child_watch.h"
#include "base/unique_fd.h"

namespace corn::os {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// Start times are exact to a clock tick (10 ms), and the real-time clock may be adjusted.
constexpr seconds kClockTolerance{2};

nanoseconds since(const timespec& then, clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return seconds(now.tv_sec - then.tv_sec) + nanoseconds(now.tv_nsec - then.tv_nsec);
}

std::optional<nanoseconds> age_of_process(pid_t pid) {
  const base::Result<std::uint64_t> ticks = read_start_time(pid);
  if (!ticks) return std::nullopt;
  const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  const timespec start{static_cast<time_t>(*ticks / per_second),
                       static_cast<long>(*ticks % per_second * (1'000'000'000 / per_second))};
  return since(start, CLOCK_BOOTTIME);
}

bool has_ended(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  // The command's name, in parentheses, may contain anything; the state follows the last ") ".
  const std::size_t name_end = line.rfind(") ");
  if (name_end == std::string::npos || name_end + 2 >= line.size()) return false;
  const char state = line[name_end + 2];
  return state == 'Z' || state == 'X';
}

// The process named in the file at `path`, if the file exists, holds a pid, and that process is
// alive and can have written it.
std::optional<pid_t> find_holder(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return std::nullopt;
  std::array<char, 32> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size <= 0) return std::nullopt;
  pid_t pid = 0;
  if (std::from_chars(text.data(), text.data() + size, pid).ec != std::errc()) {
    return std::nullopt;
  }
  if (pid <= 0 || pid == ::getpid()) return std::nullopt;
  if (::kill(pid, 0) != 0 && errno == ESRCH) return std::nullopt;
  // One that has ended keeps its number until its parent asks for its status, which it may never.
  if (has_ended(pid)) return std::nullopt;

  struct stat status {};
  const std::optional<nanoseconds> process_age = age_of_process(pid);
  if (process_age && ::fstat(file.get(), &status) == 0 &&
      *process_age + kClockTolerance < since(status.st_mtim, CLOCK_REALTIME)) {
    return std::nullopt;
  }
  return pid;
}

// A half-made file under a name of its own, removed unless it has got its final name.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& final_path) : path_(final_path + ".XXXXXX") {
    file_.reset(::mkostemp(path_.data(), O_CLOEXEC));
  }
  ~TemporaryFile() {
    if (file_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] int descriptor() const { return file_.get(); }

  // Empty, with errno, on failure.
  [[nodiscard]] base::UniqueFd rename_to(const std::string& path) {
    if (::rename(path_.c_str(), path.c_str()) != 0) return {};
    return std::move(file_);
  }

 private:
  std::string path_;
  base::UniqueFd file_;
};

}  // namespace

base::Result<PidFile> PidFile::create(const std::string& path) {
  const auto fail = [&](int error) {
    return base::fail_errno(
        "cannot write the pid file " + path + " (its directory must exist and be writable)", error);
  };
  if (const std::optional<pid_t> holder = find_holder(path)) {
    return base::fail("pid file " + path + ": already running (pid " + std::to_string(*holder) +
                          "); stop that process, or remove the file if it is not an arbiter",
                      EEXIST);
  }
  const std::string text = std::to_string(::getpid()) + "\n";
  TemporaryFile temporary(path);
  if (temporary.descriptor() < 0) return fail(errno);
  if (::write(temporary.descriptor(), text.data(), text.size()) !=
          static_cast<ssize_t>(text.size()) ||
      ::fchmod(temporary.descriptor(), 0644) != 0) {
    return fail(errno);
  }
  base::UniqueFd file = temporary.rename_to(path);
  if (!file) return fail(errno);
  return PidFile(path, std::move(file));
}

PidFile::PidFile(std::string path, base::UniqueFd file)
    : path_(std::move(path)), file_(std::move(file)) {}

PidFile& PidFile::operator=(PidFile&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::move(other.path_);
  file_ = std::move(other.file_);
  return *this;
}

PidFile::~PidFile() { remove(); }

void PidFile::remove() {
  if (!file_) return;
  struct stat named {};
  struct stat opened {};
  if (::lstat(path_.c_str(), &named) == 0 && ::fstat(file_.get(), &opened) == 0 &&
      named.st_dev == opened.st_dev && named.st_ino == opened.st_ino) {
    ::unlink(path_.c_str());
  }
  file_.reset();
}

}  // namespace corn::os
