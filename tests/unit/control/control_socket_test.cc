// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/control_socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>

namespace corn::control {
namespace {

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-socket-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/x.sock";
  }
  ~ControlSocketTest() override { std::filesystem::remove_all(directory_); }

  // Leaves a socket at the path that nobody listens on, as a killed arbiter does.
  void leave_stale_socket() {
    auto socket = ControlSocket::listen(path_);
    ASSERT_TRUE(socket);
    const std::string aside = directory_ + "/aside";
    std::filesystem::rename(path_, aside);
    { const ControlSocket closed = std::move(*socket); }
    std::filesystem::rename(aside, path_);
  }

  std::string directory_;
  std::string path_;
};

TEST_F(ControlSocketTest, IsMadeForItsOwnerAloneWhateverTheUmask) {
  const mode_t before = ::umask(0);
  const auto socket = ControlSocket::listen(path_);
  ::umask(before);
  ASSERT_TRUE(socket) << socket.error().message;
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ControlSocketTest, IsRemovedAtTheEnd) {
  { const auto socket = ControlSocket::listen(path_); }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(ControlSocketTest, StaleOneIsReplaced) {
  leave_stale_socket();
  const auto socket = ControlSocket::listen(path_);
  EXPECT_TRUE(socket) << socket.error().message;
}

TEST_F(ControlSocketTest, OneThatSomebodyListensOnIsNotReplaced) {
  const auto first = ControlSocket::listen(path_);
  ASSERT_TRUE(first);
  const auto second = ControlSocket::listen(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().os_errno, EADDRINUSE);
  EXPECT_NE(second.error().message.find("another process listens on it"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(ControlSocketTest, FileOfAnotherKindIsLeftAlone) {
  std::ofstream(path_) << "precious";
  const auto socket = ControlSocket::listen(path_);
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().os_errno, EEXIST);
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(ControlSocketTest, PathThatIsSomebodyElsesByNowIsNotRemoved) {
  std::optional<base::Result<ControlSocket>> first(ControlSocket::listen(path_));
  ASSERT_TRUE(*first);
  std::filesystem::remove(path_);
  const auto second = ControlSocket::listen(path_);
  ASSERT_TRUE(second);
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(ControlSocketTest, MissingDirectoryIsNamed) {
  const auto socket = ControlSocket::listen(directory_ + "/missing/x.sock");
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().os_errno, ENOENT);
  EXPECT_NE(socket.error().message.find("/missing/x.sock"), std::string::npos);
}

TEST_F(ControlSocketTest, PathBeyondTheKernelsLimitIsRefusedWithTheLimit) {
  const auto socket = ControlSocket::listen(directory_ + "/" + std::string(120, 'x'));
  ASSERT_FALSE(socket);
  EXPECT_NE(socket.error().message.find("1 to 107 bytes"), std::string::npos);
}

}  // namespace
}  // namespace corn::control
