// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/state_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/unique_fd.h"

namespace corn::driver {

namespace {

std::string temporary_name(const std::string& path) { return path + ".new"; }

}  // namespace

void remove_state_file(const std::string& path) {
  ::unlink(path.c_str());
  ::unlink(temporary_name(path).c_str());
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
