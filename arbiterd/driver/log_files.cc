// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/log_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/log.h"

namespace corn::driver {
namespace {

base::Result<base::UniqueFd> open_file(const std::string& path,
                                       const std::optional<os::Identity>& owner,
                                       LogFile::When when) {
  const bool starting = when == LogFile::When::kStart;
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | (starting ? 0 : O_NONBLOCK);
  // O_CREAT only where it is needed: in a directory that is everybody's the kernel denies it for
  // files of others, even to root (fs.protected_regular, proc_sys_fs(5)).
  base::UniqueFd file(::open(path.c_str(), flags));
  const bool missing = !file && errno == ENOENT;
  if (missing) file.reset(::open(path.c_str(), flags | O_CREAT, 0644));
  if (!file) return base::fail_errno("cannot open the log file '" + path + "'", errno);
  // Not waiting was for the opening: writers take it for granted that they may wait.
  if (!starting) ::fcntl(file.get(), F_SETFL, O_APPEND);
  if (owner && (missing || starting)) {
    auto given = os::give_file(file.get(), path, *owner);
    if (!given && starting) return tl::unexpected(given.error());
    if (!given) base::log_warning("{}, ignoring", given.error().message);
  }
  return file;
}

}  // namespace

base::Result<LogFilePtr> LogFile::open(const std::string& path, std::optional<os::Identity> owner,
                                       When when) {
  auto file = open_file(path, owner, when);
  if (!file) return tl::unexpected(file.error());
  return std::make_shared<LogFile>(path, std::move(owner), std::move(*file));
}

base::Status LogFile::reopen() {
  auto file = open_file(path_, owner_, When::kRunning);
  if (!file) return tl::unexpected(file.error());
  // A worker that is being made may have been promised the descriptor by its number.
  if (::dup3(file->get(), file_.get(), O_CLOEXEC) < 0) {
    return base::fail_errno("cannot reopen the log file '" + path_ + "'", errno);
  }
  return {};
}

base::Result<std::map<std::string, std::vector<LogFilePtr>>> open_log_files(
    const config::Settings& settings, LogFile::When when) {
  std::map<std::string, LogFilePtr> opened;
  std::map<std::string, std::vector<LogFilePtr>> by_pool;
  for (const config::PoolSettings& pool : settings.pools) {
    auto identity = os::resolve_identity(pool.user, pool.group);
    if (!identity) return tl::unexpected(identity.error());
    std::vector<LogFilePtr>& files = by_pool[pool.spec.name];
    for (const std::string& path : base::log_paths(pool.worker)) {
      LogFilePtr& file = opened[path];
      if (!file) {
        auto fresh = LogFile::open(path, *identity, when);
        if (!fresh) return tl::unexpected(fresh.error());
        file = std::move(*fresh);
      }
      files.push_back(file);
    }
  }
  return by_pool;
}

}  // namespace corn::driver
