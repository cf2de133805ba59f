// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace corn::os {
namespace {

// True if `path` still names the open file.
bool same_file(const std::string& path, int fd) {
  struct stat named {};
  struct stat opened {};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

std::string read_holder(int fd) {
  std::array<char, 32> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  std::string holder(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  if (const std::size_t end = holder.find('\n'); end != std::string::npos) holder.resize(end);
  return holder.empty() ? "unknown" : holder;
}

base::Status write_pid(int fd) {
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return base::fail("", errno);
  }
  return {};
}

}  // namespace

InstanceLock InstanceLock::inherit(const std::string& runtime_directory, const std::string& name,
                                   base::UniqueFd file) {
  return {runtime_directory + "/" + name + ".lock", std::move(file)};
}

base::Result<InstanceLock> InstanceLock::acquire(const std::string& runtime_directory,
                                                 const std::string& name) {
  const std::string path = runtime_directory + "/" + name + ".lock";
  for (;;) {
    base::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file) return base::fail_errno("cannot open the lock file " + path, errno);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return base::fail_errno("cannot lock " + path, errno);
      return base::fail("instance " + name + " is already running (pid " + read_holder(file.get()) +
                            "); stop it first, or start this one under another name (--name)",
                        EWOULDBLOCK);
    }
    // Its last holder may have removed the file between open and flock: a lock on that guards
    // nothing.
    if (!same_file(path, file.get())) continue;
    if (const base::Status written = write_pid(file.get()); !written) {
      return base::fail_errno("cannot write the lock file " + path, written.error().os_errno);
    }
    return InstanceLock(path, std::move(file));
  }
}

InstanceLock::InstanceLock(std::string path, base::UniqueFd file)
    : path_(std::move(path)), file_(std::move(file)) {}

InstanceLock& InstanceLock::operator=(InstanceLock&& other) noexcept {
  if (this == &other) return *this;
  release();
  path_ = std::move(other.path_);
  file_ = std::move(other.file_);
  return *this;
}

InstanceLock::~InstanceLock() { release(); }

void InstanceLock::release() {
  if (!file_) return;
  // Removed while locked, so that whoever opens the name from now on makes a new file.
  if (same_file(path_, file_.get())) ::unlink(path_.c_str());
  file_.reset();
}

}  // namespace corn::os
