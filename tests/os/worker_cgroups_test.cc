// SPDX-License-Identifier: Apache-2.0
// With real control groups, where the machine lets this process make some.
#include "arbiterd/os/worker_cgroups.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

namespace corn::os {
namespace {

constexpr std::size_t kLimit = 48U << 20U;  // bytes that a process of a limited group may have

// A group of the test's own below the machine's, removed with all that is in it.
class WorkerCgroupsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto own = own_memory_cgroup();
    if (!own) GTEST_SKIP() << "no memory control group is mounted here";
    parent_ = own->directory + "/corn-test-" + std::to_string(::getpid());
    if (::mkdir(parent_.c_str(), 0755) < 0) {
      GTEST_SKIP() << "no groups can be made in " << own->directory << ": " << std::strerror(errno);
    }
    auto opened = WorkerCgroups::open(parent_);
    if (!opened) GTEST_SKIP() << opened.error().message;
    groups_ = std::move(*opened);
    limit_ = own->version_2 ? "memory.max" : "memory.limit_in_bytes";
  }
  void TearDown() override {
    groups_.reset();
    if (parent_.empty() || !std::filesystem::exists(parent_)) return;
    for (const auto& entry : std::filesystem::directory_iterator(parent_)) {
      if (entry.is_directory()) ::rmdir(entry.path().c_str());
    }
    ::rmdir(parent_.c_str());
  }

  [[nodiscard]] std::string group_of(pid_t pid) const {
    return parent_ + "/corn-" + std::to_string(pid);
  }

  [[nodiscard]] bool moved(pid_t pid) const {
    for (int i = 0; i < 1000; ++i) {
      std::ifstream file(group_of(pid) + "/cgroup.procs");
      pid_t inside = 0;
      if (file >> inside && inside == pid) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::string parent_;
  std::string limit_;
  std::unique_ptr<WorkerCgroups> groups_;
};

// A process that waits for a byte, then touches twice as much memory as it may have.
class Hungry {
 public:
  Hungry() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe(ends), 0);
    pid = ::fork();
    if (pid == 0) {
      ::close(ends[1]);
      char order = 0;
      if (::read(ends[0], &order, 1) != 1) ::_exit(0);
      void* memory =
          ::mmap(nullptr, 2 * kLimit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      std::memset(memory, 1, 2 * kLimit);
      ::_exit(0);
    }
    ::close(ends[0]);
    order_.reset(ends[1]);
    pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }
  void eat() const { EXPECT_EQ(::write(order_.get(), "x", 1), 1); }
  int wait_for_end() {
    order_.reset();
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
  }

  pid_t pid = -1;
  base::UniqueFd pidfd;

 private:
  base::UniqueFd order_;
};

TEST_F(WorkerCgroupsTest, KillForWantOfMemoryIsCountedInTheWorkersOwnGroup) {
  Hungry victim;
  Hungry neighbour;
  ASSERT_TRUE(groups_->add(victim.pid, victim.pidfd.get()));
  ASSERT_TRUE(groups_->add(neighbour.pid, neighbour.pidfd.get()));
  ASSERT_TRUE(moved(victim.pid));
  ASSERT_TRUE(moved(neighbour.pid));
  std::ofstream(group_of(victim.pid) + "/" + limit_) << kLimit << std::flush;
  victim.eat();
  const int status = victim.wait_for_end();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_TRUE(groups_->killed_for_memory(victim.pid));
  ::kill(neighbour.pid, SIGKILL);
  neighbour.wait_for_end();
  EXPECT_FALSE(groups_->killed_for_memory(neighbour.pid));
}

TEST_F(WorkerCgroupsTest, GroupGoesWithItsWorker) {
  Hungry worker;
  ASSERT_TRUE(groups_->add(worker.pid, worker.pidfd.get()));
  ASSERT_TRUE(moved(worker.pid));
  worker.wait_for_end();
  groups_->remove(worker.pid);
  EXPECT_FALSE(std::filesystem::exists(group_of(worker.pid)));
  EXPECT_FALSE(groups_->killed_for_memory(worker.pid));
}

TEST_F(WorkerCgroupsTest, GroupOfAWorkerThatIsTakenOverIsFoundAgain) {
  Hungry worker;
  ASSERT_TRUE(groups_->add(worker.pid, worker.pidfd.get()));
  ASSERT_TRUE(moved(worker.pid));
  auto successor = WorkerCgroups::open(parent_);
  ASSERT_TRUE(successor);
  ASSERT_TRUE((*successor)->add(worker.pid, worker.pidfd.get()));
  worker.wait_for_end();
  (*successor)->remove(worker.pid);
  EXPECT_FALSE(std::filesystem::exists(group_of(worker.pid)));
}

TEST(WorkerCgroups, DirectoryThatIsNoGroupIsRefused) {
  const auto opened = WorkerCgroups::open("/proc");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("/proc"), std::string::npos);
}

}  // namespace
}  // namespace corn::os
