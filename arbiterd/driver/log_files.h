// SPDX-License-Identifier: Apache-2.0
// The log files that workers write to. arbiterd opens them, as its own user, and gives workers
// copies of the descriptors: at their start and after a rotation. So a worker that runs as another
// user needs no right to the file or its directory.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arbiterd/config/settings.h"
#include "arbiterd/os/users.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::driver {

class LogFile {
 public:
  // When a file is opened.
  enum class When {
    kStart,    // nobody is served yet: a named pipe's reader may be waited for
    kRunning,  // nothing is waited for
  };

  // Opens for appending. `owner`: whose the file is made, so that a worker can open it as well
  // (USR1 to the worker): at the start in any case, later if it has been created.
  static base::Result<std::shared_ptr<LogFile>> open(const std::string& path,
                                                     std::optional<os::Identity> owner, When when);

  LogFile(std::string path, std::optional<os::Identity> owner, base::UniqueFd file)
      : path_(std::move(path)), owner_(std::move(owner)), file_(std::move(file)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  // The same number as long as the object.
  [[nodiscard]] int descriptor() const { return file_.get(); }

  // Opens the file anew under its name (after rotation). On failure the old one stays in use.
  base::Status reopen();

 private:
  const std::string path_;
  const std::optional<os::Identity> owner_;
  const base::UniqueFd file_;
};

using LogFilePtr = std::shared_ptr<LogFile>;

// The log files of each pool's workers, as base::log_paths() lists them; one of a name that several
// write to.
base::Result<std::map<std::string, std::vector<LogFilePtr>>> open_log_files(
    const config::Settings& settings, LogFile::When when);

}  // namespace corn::driver
