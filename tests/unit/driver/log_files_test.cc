// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/log_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace corn::driver {
namespace {

constexpr uid_t kNobody = 65534;

class LogFiles : public testing::Test {
 protected:
  LogFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-logs-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~LogFiles() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(const char* name) const { return directory_ + '/' + name; }
  [[nodiscard]] static ino_t inode(int descriptor) {
    struct stat status {};
    return ::fstat(descriptor, &status) == 0 ? status.st_ino : 0;
  }
  [[nodiscard]] static struct stat status_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status;
  }
  [[nodiscard]] config::PoolSettings pool(const char* name, const char* access_log) const {
    config::PoolSettings settings;
    settings.spec.name = name;
    settings.worker.error_log = path("error.log");
    settings.worker.access_log = access_log[0] == '-' ? access_log : path(access_log);
    return settings;
  }

  std::string directory_;
};

TEST_F(LogFiles, PoolsThatWriteToOneFileShareIt) {
  config::Settings settings;
  settings.pools = {pool("web", "access.log"), pool("api", "-")};
  const auto files = open_log_files(settings, LogFile::When::kStart);
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->at("web").size(), 2U);
  ASSERT_EQ(files->at("api").size(), 1U);
  EXPECT_EQ(files->at("web")[0], files->at("api")[0]);
  EXPECT_EQ(files->at("web")[1]->path(), path("access.log"));
}

TEST_F(LogFiles, ReopenedFileHasTheDescriptorOfTheOldOne) {
  const auto file = LogFile::open(path("log"), std::nullopt, LogFile::When::kStart);
  ASSERT_TRUE(file);
  const int number = (*file)->descriptor();
  const ino_t before = inode(number);
  std::filesystem::rename(path("log"), path("log.1"));
  ASSERT_TRUE((*file)->reopen());
  EXPECT_EQ((*file)->descriptor(), number);
  EXPECT_NE(inode(number), before);
  EXPECT_EQ(inode(number), status_of(path("log")).st_ino);
  EXPECT_EQ(::fcntl(number, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(::fcntl(number, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND);
}

TEST_F(LogFiles, OneThatCannotBeReopenedStaysInUse) {
  std::filesystem::create_directory(path("logs"));
  const auto file = LogFile::open(path("logs/log"), std::nullopt, LogFile::When::kStart);
  ASSERT_TRUE(file);
  const ino_t before = inode((*file)->descriptor());
  std::filesystem::rename(path("logs"), path("old"));
  const auto reopened = (*file)->reopen();
  ASSERT_FALSE(reopened);
  EXPECT_NE(reopened.error().message.find(path("logs/log")), std::string::npos);
  EXPECT_EQ(inode((*file)->descriptor()), before);
}

TEST_F(LogFiles, APipeWithoutAReaderIsNotWaitedForWhileWorkersServe) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_FALSE(LogFile::open(path("pipe"), std::nullopt, LogFile::When::kRunning));
}

TEST_F(LogFiles, WhatIsMadeAfterARotationIsTheWorkersAndWhatIsThereStaysItsOwners) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  os::Identity nobody;
  nobody.uid = kNobody;
  nobody.gid = kNobody;
  const auto file = LogFile::open(path("log"), nobody, LogFile::When::kStart);
  ASSERT_TRUE(file);
  EXPECT_EQ(status_of(path("log")).st_uid, kNobody);
  std::filesystem::rename(path("log"), path("log.1"));
  ASSERT_TRUE((*file)->reopen());
  EXPECT_EQ(status_of(path("log")).st_uid, kNobody);
  // As logrotate's `create` makes it.
  ASSERT_EQ(::chown(path("log").c_str(), 0, 0), 0);
  ASSERT_TRUE((*file)->reopen());
  EXPECT_EQ(status_of(path("log")).st_uid, 0U);
}

}  // namespace
}  // namespace corn::driver
