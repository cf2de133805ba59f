// SPDX-License-Identifier: Apache-2.0
// Who may call. Callers of other uids are made of children that give up root.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>

#include "base/unique_fd.h"
#include "server_fixture.h"

namespace corn::control {
namespace {

constexpr uid_t kNobody = 65534;
constexpr uid_t kOther = 65533;

// Started anew by the tests below, as another user: one GetStatus, whose canonical code is the exit
// status.
constexpr char kClientVariable[] = "CORN_TEST_CLIENT_OF";

class AccessTest : public ServerTest {
 protected:
  void SetUp() override {}

  // What a client of that uid is answered. The directory and socket are opened to it first: it's
  // the server's own check that is tested.
  int code_for(uid_t uid) {
    std::filesystem::permissions(directory_, std::filesystem::perms::all);
    std::filesystem::permissions(socket_path_, std::filesystem::perms::all);
    const std::string variable = std::string(kClientVariable) + "=" + socket_path_;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
    const char* arguments[] = {program.c_str(), "--gtest_filter=AccessClient.*", nullptr};
    const char* sanitizer = std::getenv("TSAN_OPTIONS");
    const std::string options = std::string("TSAN_OPTIONS=") + (sanitizer ? sanitizer : "");
    const char* environment[] = {variable.c_str(), options.c_str(), nullptr};
    // The program itself may be out of another user's reach: opened before, executed by descriptor.
    const base::UniqueFd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgid(uid) == 0 && ::setuid(uid) == 0) {
        ::fexecve(file.get(), const_cast<char* const*>(arguments),
                  const_cast<char* const*>(environment));
      }
      ::_exit(100);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

// Not a test by itself.
TEST(AccessClient, Calls) {
  const char* socket_path = std::getenv(kClientVariable);
  if (socket_path == nullptr) GTEST_SKIP() << "run by the other tests";
  const auto arbiter = api::Arbiter::NewStub(
      grpc::CreateChannel(std::string("unix:") + socket_path, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  api::GetStatusResponse response;
  const grpc::Status status = arbiter->GetStatus(&context, {}, &response);
  if (!status.ok()) {
    EXPECT_EQ(status.error_message(),
              "user id 65533 may not control this arbiter; only user id 65534 and root may");
  }
  ::_exit(HasFailure() ? 101 : status.error_code());
}

TEST_F(AccessTest, SocketIsForItsOwnerAlone) {
  start(::getuid());
  struct stat status {};
  ASSERT_EQ(::lstat(socket_path_.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(AccessTest, OtherUsersAreNotAllowed) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  start(kNobody);
  EXPECT_EQ(code_for(kOther), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AccessTest, OwnerAndRootAreAllowed) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  start(kNobody);
  EXPECT_EQ(code_for(kNobody), grpc::StatusCode::OK);
  EXPECT_EQ(code_for(0), grpc::StatusCode::OK);
}

}  // namespace
}  // namespace corn::control
