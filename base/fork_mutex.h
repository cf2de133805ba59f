// SPDX-License-Identifier: Apache-2.0
// A lock for what the copies of a process use too, whatever its other threads do when it is copied.
#pragma once

#include <mutex>

namespace corn::base {

// A mutex that fork(3) takes before it makes the child and lets go in both processes, so that the
// child never finds it held by a thread that it doesn't have (pthread_atfork(3)). For locks that
// are held for moments: whoever holds one takes no other of this kind, and does not fork. To be
// used with std::lock_guard. Any thread.
class ForkMutex {
 public:
  ForkMutex();
  ~ForkMutex();
  ForkMutex(const ForkMutex&) = delete;
  ForkMutex& operator=(const ForkMutex&) = delete;

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

}  // namespace corn::base
