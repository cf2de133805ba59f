// SPDX-License-Identifier: Apache-2.0
// The file of --pid: the arbiter's pid and a newline, for scripts and init systems.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

class PidFile {
 public:
  // Writes the pid of this process to `path`, whole or not at all, mode 0644. Fails with "already
  // running (pid N)" if the file names another process that lives, unless that process is younger
  // than the file, which shows that the writer is dead and its number used again. A stale file is
  // replaced.
  static base::Result<PidFile> create(const std::string& path);

  PidFile(PidFile&&) noexcept = default;
  PidFile& operator=(PidFile&& other) noexcept;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  // Removes the file if it is still the one written here.
  ~PidFile();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  PidFile(std::string path, base::UniqueFd file);
  void remove();

  std::string path_;
  base::UniqueFd file_;  // open, so that its inode number is not given to a successor of the file
};

}  // namespace corn::os
