// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/fork_fence.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace corn::server {
namespace {

// Whether a forked child has the descriptor.
bool child_has(int fd) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::fcntl(fd, F_GETFD) >= 0 ? 1 : 0);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

TEST(ForkFence, ChildHasWhatWasNotClosedToIt) {
  const base::UniqueFd first(::eventfd(0, EFD_CLOEXEC));
  const base::UniqueFd second(::eventfd(0, EFD_CLOEXEC));
  close_in_forks(first.get());
  EXPECT_FALSE(child_has(first.get()));
  EXPECT_TRUE(child_has(second.get()));
  EXPECT_GE(::fcntl(first.get(), F_GETFD), 0) << "the parent keeps it";
  open_across_forks(first.get());
  EXPECT_TRUE(child_has(first.get()));
}

TEST(ForkFence, NumbersThatAreNoDescriptorsAreIgnored) {
  for (const int fd : {-1, kForkFenceDescriptors}) {
    close_in_forks(fd);
    open_across_forks(fd);
  }
}

}  // namespace
}  // namespace corn::server
