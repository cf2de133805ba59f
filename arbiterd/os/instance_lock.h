// SPDX-License-Identifier: Apache-2.0
// One arbiter per instance: the holder of an flock(2) on RUNTIME_DIRECTORY/NAME.lock, which
// contains its pid. The kernel drops the lock with the holder, so that a file left behind is never
// in the way. Whoever holds it may replace the instance's stale files (sockets, state); nobody else
// may.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

class InstanceLock {
 public:
  // Fails with "instance NAME is already running (pid N); ..." if another process holds it. Take it
  // after daemonising: the pid written is the caller's.
  static base::Result<InstanceLock> acquire(const std::string& runtime_directory,
                                            const std::string& name);

  // Goes on holding the lock that this process took before an upgrade in place.
  static InstanceLock inherit(const std::string& runtime_directory, const std::string& name,
                              base::UniqueFd file);

  InstanceLock(InstanceLock&&) noexcept = default;
  InstanceLock& operator=(InstanceLock&& other) noexcept;
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;
  ~InstanceLock();

  [[nodiscard]] const std::string& path() const { return path_; }

  // Held as long as any copy of this descriptor is open: an upgrade in place keeps it over exec.
  [[nodiscard]] int descriptor() const { return file_.get(); }

 private:
  InstanceLock(std::string path, base::UniqueFd file);
  void release();

  std::string path_;
  base::UniqueFd file_;
};

}  // namespace corn::os
