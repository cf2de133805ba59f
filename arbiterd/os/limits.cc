// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/limits.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/unique_fd.h"

namespace corn::os {

base::Status ensure_standard_descriptors() {
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(standard, F_GETFD) >= 0) continue;
    // The lowest free number is the one found missing; that it stays open over exec is wanted.
    // NOLINTNEXTLINE(android-cloexec-open)
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd < 0) return base::fail_errno("open /dev/null for a closed standard descriptor", errno);
  }
  return {};
}

base::Result<rlimit> raise_descriptor_limit() {
  rlimit original{};
  if (::getrlimit(RLIMIT_NOFILE, &original) != 0) {
    return base::fail_errno("read the limit of open files (RLIMIT_NOFILE)", errno);
  }
  rlimit raised = original;
  raised.rlim_cur = raised.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &raised) != 0) {
    return base::fail_errno(
        "raise the limit of open files (RLIMIT_NOFILE) to " + std::to_string(raised.rlim_max),
        errno);
  }
  return original;
}

base::Status reserve_descriptors(unsigned descriptors) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return base::fail_errno("read the limit of open files (RLIMIT_NOFILE)", errno);
  }
  const rlim_t count = std::min<rlim_t>(descriptors, limit.rlim_cur);
  if (count <= STDERR_FILENO + 1) return {};
  const base::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return base::fail_errno("open /dev/null", errno);
  // The table never shrinks: one descriptor with a high number, opened and closed, sizes it.
  const base::UniqueFd highest(::fcntl(null.get(), F_DUPFD_CLOEXEC, static_cast<int>(count - 1)));
  if (!highest && errno != EMFILE) {  // EMFILE: that number is in use, so the table is large enough
    return base::fail_errno("reserve " + std::to_string(count) + " descriptors", errno);
  }
  return {};
}

bool is_init_process() { return ::getpid() == 1; }

}  // namespace corn::os
