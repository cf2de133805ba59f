// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/code_watch.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/log.h"

namespace corn::driver {
namespace {

// Of the changes of one reload.
constexpr std::size_t kMostNamed = 1000;

constexpr std::string_view kFile = "file:";
constexpr std::string_view kModule = "python:";

// The path of the configuration file; empty where there is none, or none to watch.
std::string configuration_file(const config::Invocation& invocation) {
  std::string_view file = invocation.config_file;
  if (file.starts_with(kFile)) file.remove_prefix(kFile.size());
  if (file.empty() || file.starts_with(kModule)) return "";
  return (std::filesystem::path(invocation.working_directory) / file).string();
}

}  // namespace

void CodeWatch::adopt(const config::Settings& settings, const config::Invocation& invocation) {
  bool wanted = false;
  std::vector<std::string> extra;
  for (const config::PoolSettings& pool : settings.pools) {
    if (!pool.worker.report_files) continue;
    wanted = true;
    extra.insert(extra.end(), pool.reload_extra_files.begin(), pool.reload_extra_files.end());
  }
  if (!wanted) {
    watch_.reset();
    if (timer_) timers_.cancel(*timer_);
    timer_.reset();
    changes_.clear();
    return;
  }
  if (std::string file = configuration_file(invocation); !file.empty()) {
    extra.push_back(std::move(file));
  }
  if (watch_ && extra == extra_) return;
  if (!watch_) base::log_warning("Reloader is on. Use in development only!");
  extra_ = std::move(extra);
  open();
}

void CodeWatch::open() {
  watch_.reset();
  auto opened = os::FileWatch::create(loop_, [this](const std::string& path) { on_change(path); });
  if (!opened) {
    base::log_error("{}; changed code is loaded by HUP or `cornctl reload` only",
                    opened.error().message);
    return;
  }
  watch_ = std::move(*opened);
  for (const std::string& path : extra_) {
    if (os::PathPattern::is_pattern(path)) {
      watch_->add(os::PathPattern(path));
    } else {
      watch_->add(path);
    }
  }
  for (const std::string& path : files_) watch_->add(path);
}

void CodeWatch::add(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (!path.starts_with('/') || files_.size() >= os::FileWatch::kMaxFiles) continue;
    if (files_.insert(path).second && watch_) watch_->add(path);
  }
}

void CodeWatch::on_change(const std::string& path) {
  const base::TimePoint now = loop_.now();
  if (changes_.empty()) first_change_ = now;
  const bool known = std::ranges::find(changes_, path) != changes_.end();
  if (!known && changes_.size() < kMostNamed) changes_.push_back(path);
  if (timer_) timers_.cancel(*timer_);
  timer_ = timers_.at(std::min(now + kQuiet, first_change_ + kLongestDelay), [this] { fire(); });
}

void CodeWatch::fire() {
  timer_.reset();
  const std::vector<std::string> changes = std::exchange(changes_, {});
  const std::size_t more = changes.size() - 1;
  changed_(more == 0 ? changes.front() : fmt::format("{} and {} more", changes.front(), more));
}

}  // namespace corn::driver
