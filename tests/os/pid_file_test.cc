// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/pid_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "support.h"

namespace corn::os {
namespace {

using testing::HasSubstr;

std::string own_pid_line() { return std::to_string(::getpid()) + "\n"; }

// A process that lives until the object's end.
class Sleeper {
 public:
  Sleeper() : pipe_(test::make_pipe()), pid_(::fork()) {
    if (pid_ == 0) {
      pipe_.writer.reset();
      test::read_all(pipe_.reader.get());
      ::_exit(0);
    }
  }
  ~Sleeper() {
    pipe_.writer.reset();
    test::wait_for_exit(pid_);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  test::Pipe pipe_;
  pid_t pid_;
};

TEST(PidFile, HoldsThePidReadableForAllAndIsRemovedAtTheEnd) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  {
    const base::Result<PidFile> file = PidFile::create(path);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(test::read_file(path), own_pid_line());
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0644U);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << "no temporary file either";
}

TEST(PidFile, AHolderThatHasEndedIsNoneThoughNobodyHasAskedForItsStatus) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  const pid_t zombie = ::fork();
  if (zombie == 0) ::_exit(0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(zombie), &ended, WEXITED | WNOWAIT), 0);
  test::write_file(path, std::to_string(zombie) + "\n");
  {
    const base::Result<PidFile> file = PidFile::create(path);
    EXPECT_TRUE(file) << file.error().message;
    EXPECT_EQ(test::read_file(path), own_pid_line());
  }
  test::wait_for_exit(zombie);
}

TEST(PidFile, LivingHolderIsNamed) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  const Sleeper holder;
  test::write_file(path, std::to_string(holder.pid()) + "\n");
  const base::Result<PidFile> file = PidFile::create(path);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message,
              HasSubstr("already running (pid " + std::to_string(holder.pid()) + ")"));
  EXPECT_TRUE(test::exists(path));
}

TEST(PidFile, FileOfADeadProcessIsReplaced) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  pid_t dead = 0;
  {
    const Sleeper gone;
    dead = gone.pid();
  }
  test::write_file(path, std::to_string(dead) + "\n");
  const base::Result<PidFile> file = PidFile::create(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(test::read_file(path), own_pid_line());
}

TEST(PidFile, ProcessYoungerThanTheFileCannotHaveWrittenIt) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  const Sleeper namesake;
  test::write_file(path, std::to_string(namesake.pid()) + "\n");
  timeval times[2];
  ::gettimeofday(&times[0], nullptr);
  times[0].tv_sec -= 3600;
  times[1] = times[0];
  ASSERT_EQ(::utimes(path.c_str(), times), 0);
  EXPECT_TRUE(PidFile::create(path));
}

TEST(PidFile, OwnPidAndRubbishAreStale) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  for (const std::string& content : {own_pid_line(), std::string("rubbish"), std::string(),
                                     std::string("-1\n"), std::string("0\n")}) {
    test::write_file(path, content);
    EXPECT_TRUE(PidFile::create(path)) << content;
  }
}

TEST(PidFile, FileThatIsSomebodyElsesByNowIsNotRemoved) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.pid";
  {
    const base::Result<PidFile> file = PidFile::create(path);
    ASSERT_TRUE(file);
    ASSERT_EQ(::unlink(path.c_str()), 0);
    test::write_file(path, "another's");
  }
  EXPECT_EQ(test::read_file(path), "another's");
}

TEST(PidFile, UnwritablePlaceIsNamed) {
  const base::Result<PidFile> file = PidFile::create("/nonexistent/app.pid");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message,
            "cannot write the pid file /nonexistent/app.pid (its directory must exist and be "
            "writable): No such file or directory");
}

}  // namespace
}  // namespace corn::os
