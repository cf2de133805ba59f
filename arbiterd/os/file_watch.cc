// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/file_watch.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/log.h"

namespace corn::os {
namespace {

namespace fs = std::filesystem;

// A file that is open for writing isn't whole yet, so that its modifications mean nothing.
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_MOVE_SELF |
                                  IN_DELETE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
// Byte code is written by whoever loads what it was made from.
constexpr std::string_view kByteCode = "__pycache__";

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string join(const std::string& directory, const std::string& name) {
  return directory == "/" ? "/" + name : directory + "/" + name;
}

bool is_below(std::string_view path, std::string_view directory) {
  return path == directory || directory == "/" ||
         (path.starts_with(directory) && path.substr(directory.size()).starts_with('/'));
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// A name that has come into being without being written to: a symbolic or a hard link.
bool is_link(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) < 0) return false;
  return S_ISLNK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink > 1);
}

}  // namespace

base::Result<std::unique_ptr<FileWatch>> FileWatch::create(EventLoop& loop, Changed changed) {
  base::UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify) {
    return base::fail_errno(
        "files can't be watched (at most fs.inotify.max_user_instances users may)", errno);
  }
  const int descriptor = inotify.get();
  std::unique_ptr<FileWatch> watch(new FileWatch(loop, std::move(changed), std::move(inotify)));
  auto watched =
      loop.watch(descriptor, EPOLLIN, [self = watch.get()](std::uint32_t) { self->read_events(); });
  if (!watched) return tl::unexpected(watched.error());
  return watch;
}

FileWatch::FileWatch(EventLoop& loop, Changed changed, base::UniqueFd inotify)
    : loop_(loop), changed_(std::move(changed)), inotify_(std::move(inotify)) {}

FileWatch::~FileWatch() { loop_.unwatch(inotify_.get()); }

void FileWatch::add(const std::string& path) {
  const std::string plain = fs::path(path).lexically_normal().string();
  add_entry(plain, plain);
  std::error_code error;
  const fs::path real = fs::canonical(plain, error);
  if (!error && real != plain) add_entry(real.string(), plain);
}

void FileWatch::add_entry(const std::string& path, const std::string& shown) {
  const std::string directory = parent_of(path);
  auto& names = files_[directory];
  std::string name = path.substr(path.rfind('/') + 1);
  if (names.contains(name)) return;
  if (file_count_ >= kMaxFiles) {
    return warn_once(std::to_string(kMaxFiles) + " files are watched, which is the limit");
  }
  names.emplace(std::move(name), shown);
  ++file_count_;
  if (!watch_directory(directory)) await_directory(directory);
}

void FileWatch::add(const PathPattern& pattern) {
  patterns_.push_back(pattern);
  if (watch_directory(pattern.base())) {
    watch_tree(pattern, pattern.base(), false);
  } else {
    await_directory(pattern.base());
  }
}

// False: there is no such directory.
bool FileWatch::watch_directory(const std::string& directory) {
  if (descriptors_.contains(directory)) return true;
  if (descriptors_.size() >= kMaxDirectories) {
    warn_once(std::to_string(kMaxDirectories) + " directories are watched, which is the limit");
    return true;
  }
  const int descriptor = ::inotify_add_watch(inotify_.get(), directory.c_str(), kEvents);
  if (descriptor < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    std::string text = directory + " can't be watched: " + std::strerror(errno);
    if (errno == ENOSPC) text += " (fs.inotify.max_user_watches is the limit)";
    warn_once(text);
    return true;
  }
  descriptors_[directory] = descriptor;
  directories_[descriptor].insert(directory);
  missing_.erase(directory);
  return true;
}

// The root is always there, so that this ends.
void FileWatch::await_directory(const std::string& directory) {
  if (!missing_.insert(directory).second) return;
  std::string above = parent_of(directory);
  while (!watch_directory(above)) above = parent_of(above);
  // It may have come between the two looks.
  if (exists(directory)) on_directory(directory);
}

void FileWatch::watch_tree(const PathPattern& pattern, const std::string& directory, bool tell) {
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  const fs::directory_iterator end;
  for (; !error && entries != end; entries.increment(error)) {
    const std::string path = entries->path().string();
    std::error_code ignored;
    if (entries->is_directory(ignored) && !entries->is_symlink(ignored)) {
      if (entries->path().filename() == kByteCode || !pattern.may_match_below(path)) continue;
      if (watch_directory(path)) watch_tree(pattern, path, tell);
    } else if (tell && pattern.matches(path)) {
      changed_(path);
    }
  }
}

void FileWatch::read_events() {
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size <= 0) return;
    for (ssize_t at = 0; at < size;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        changed_("(more files than could be counted)");
      } else if ((event.mask & IN_MOVE_SELF) != 0) {
        // It is another directory now; IN_IGNORED follows.
        ::inotify_rm_watch(inotify_.get(), event.wd);
      } else if ((event.mask & IN_IGNORED) != 0) {
        on_lost(event.wd);
      } else if (event.len > 0) {
        const auto found = directories_.find(event.wd);
        if (found == directories_.end()) continue;
        const std::set<std::string> directories = found->second;
        for (const std::string& directory : directories) on_entry(directory, name, event.mask);
      }
    }
  }
}

void FileWatch::on_entry(const std::string& directory, const std::string& name,
                         std::uint32_t mask) {
  const std::string path = join(directory, name);
  if ((mask & IN_ISDIR) != 0) return on_directory(path);
  // What was linked to a directory is one.
  if ((mask & IN_CREATE) != 0) {
    if (!is_link(path)) return;  // it is told of when it is closed
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) return on_directory(path);
  }
  const auto files = files_.find(directory);
  if (files != files_.end()) {
    if (const auto file = files->second.find(name); file != files->second.end()) {
      const std::string shown = file->second;
      changed_(shown);
      if (shown == path) add(path);  // a link may lead elsewhere now
      return;
    }
  }
  for (const PathPattern& pattern : patterns_) {
    if (pattern.matches(path)) return changed_(path);
  }
}

// A directory has come: what is waited for may be in it, and files that came before its watch.
void FileWatch::on_directory(const std::string& path) {
  std::vector<std::string> candidates;
  for (auto it = missing_.lower_bound(path); it != missing_.end() && it->starts_with(path); ++it) {
    if (is_below(*it, path)) candidates.push_back(*it);
  }
  for (const std::string& directory : candidates) {
    missing_.erase(directory);
    if (!watch_directory(directory)) {
      await_directory(directory);
      continue;
    }
    const auto files = files_.find(directory);
    if (files == files_.end()) continue;
    const auto names = files->second;
    for (const auto& [name, shown] : names) {
      if (exists(join(directory, name))) changed_(shown);
    }
  }
  for (const PathPattern& pattern : std::vector<PathPattern>(patterns_)) {
    if (is_below(pattern.base(), path)) {
      if (descriptors_.contains(pattern.base())) watch_tree(pattern, pattern.base(), true);
    } else if (is_below(path, pattern.base()) && pattern.may_match_below(path) &&
               !path.ends_with(kByteCode) && watch_directory(path)) {
      watch_tree(pattern, path, true);
    }
  }
}

// The directory is gone, or has another name.
void FileWatch::on_lost(int descriptor) {
  const auto lost = directories_.extract(descriptor);
  if (lost.empty()) return;
  for (const std::string& directory : lost.mapped()) descriptors_.erase(directory);
  for (const std::string& directory : lost.mapped()) {
    std::vector<std::string> wanted;
    for (const std::string& waiting : missing_) {
      if (is_below(waiting, directory)) wanted.push_back(waiting);
    }
    const auto is_base = [&](const PathPattern& pattern) { return pattern.base() == directory; };
    const auto files = files_.find(directory);
    if (files != files_.end() || std::ranges::any_of(patterns_, is_base)) {
      wanted.push_back(directory);
    }
    for (const std::string& missing : wanted) {
      missing_.erase(missing);
      await_directory(missing);
    }
    if (files == files_.end()) continue;
    // Links that led here may lead elsewhere now.
    const auto names = files->second;
    for (const auto& [name, shown] : names) {
      if (shown == join(directory, name) || !exists(shown)) continue;
      changed_(shown);
      add(shown);
    }
  }
}

void FileWatch::warn_once(const std::string& text) {
  if (std::exchange(warned_, true)) return;
  base::log_warning("Not every change will be seen: {}", text);
}

}  // namespace corn::os
