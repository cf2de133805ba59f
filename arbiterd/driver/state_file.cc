// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/state_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <sstream>

namespace corn::driver {

namespace {

// Room for the notes of kMaxWorkers.
constexpr std::size_t kMaxDepartureBytes = 64 * 1024;

std::string temporary_name(const std::string& path) { return path + ".new"; }
std::string departures_name(const std::string& path) { return path + ".left"; }

}  // namespace

void remove_state_file(const std::string& path) {
  ::unlink(path.c_str());
  ::unlink(temporary_name(path).c_str());
  ::unlink(departures_name(path).c_str());
}

base::UniqueFd open_departures(const std::string& state_file) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
  return base::UniqueFd(::open(departures_name(state_file).c_str(), kFlags, 0600));
}

std::optional<core::Cause> departure_cause(std::string_view name) {
  for (const core::Cause cause : {core::Cause::kOrphaned, core::Cause::kExited}) {
    if (name == core::name_of(cause)) return cause;
  }
  return std::nullopt;
}

std::map<core::WorkerId, core::Cause> read_departures(const std::string& state_file) {
  std::map<core::WorkerId, core::Cause> left;
  const base::UniqueFd file(
      ::open(departures_name(state_file).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string text(kMaxDepartureBytes, '\0');
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : 0;
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  std::istringstream lines(text);
  core::WorkerId id;
  for (std::string cause; lines >> id.value >> cause;) {
    if (const auto known = departure_cause(cause)) left.emplace(id, *known);
  }
  return left;
}

base::Status write_state_file(const std::string& path, const std::string& text) {
  const std::string temporary = temporary_name(path);
  const auto fail = [&](int error) {
    ::unlink(temporary.c_str());
    return base::fail_errno("cannot write the state file " + path, error);
  };
  const base::UniqueFd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return base::fail_errno("cannot write the state file " + path, errno);
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno);
    done += static_cast<std::size_t>(n);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail(errno);
  return {};
}

}  // namespace corn::driver
