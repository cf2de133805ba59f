// SPDX-License-Identifier: Apache-2.0
// Tells of files that are written, by inotify(7), without polling. Directories are watched rather
// than files, because editors put a new file in the old one's place; a directory that isn't there
// is waited for by watching the nearest one above it that is. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/os/loop.h"
#include "arbiterd/os/path_pattern.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

class FileWatch {
 public:
  static constexpr std::size_t kMaxFiles = 50'000;
  static constexpr std::size_t kMaxDirectories = 8'192;

  // Called for a file that was written to and closed, put in place by a rename, or linked; and for
  // one that has come with its directory. A file that goes is not told of.
  using Changed = std::function<void(const std::string& path)>;

  // `loop` outlives the watch.
  static base::Result<std::unique_ptr<FileWatch>> create(EventLoop& loop, Changed changed);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // An absolute path; it need not exist. Through a symbolic link the file behind it is watched
  // too. What goes beyond the limits is left out, which is logged once.
  void add(const std::string& path);

  // Every file that matches, now or later. Directories named __pycache__ are left out.
  void add(const PathPattern& pattern);

 private:
  FileWatch(EventLoop& loop, Changed changed, base::UniqueFd inotify);

  void add_entry(const std::string& path, const std::string& shown);
  bool watch_directory(const std::string& directory);
  void await_directory(const std::string& directory);
  void watch_tree(const PathPattern& pattern, const std::string& directory, bool tell);
  void read_events();
  void on_entry(const std::string& directory, const std::string& name, std::uint32_t mask);
  void on_directory(const std::string& path);
  void on_lost(int descriptor);
  void warn_once(const std::string& text);

  EventLoop& loop_;
  const Changed changed_;
  const base::UniqueFd inotify_;

  // By directory, then by name: the path to tell, which differs behind a symbolic link.
  std::map<std::string, std::map<std::string, std::string>> files_;
  std::size_t file_count_ = 0;
  std::vector<PathPattern> patterns_;
  std::map<std::string, int> descriptors_;            // by directory
  std::map<int, std::set<std::string>> directories_;  // one may be reached by several paths
  std::set<std::string> missing_;                     // directories that are waited for
  bool warned_ = false;
};

}  // namespace corn::os
