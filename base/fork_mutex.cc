// SPDX-License-Identifier: Apache-2.0
#include "base/fork_mutex.h"

#include <pthread.h>

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace corn::base {
namespace {

struct Registry {
  std::mutex mutex;  // taken before those it is about
  std::vector<ForkMutex*> members;
};

Registry& registry() {
  static auto* instance = new Registry;  // lives as long as the process, as fork handlers do
  return *instance;
}

void lock_all() {
  registry().mutex.lock();
  for (ForkMutex* member : registry().members) member->lock();
}

void unlock_all() {
  for (ForkMutex* member : registry().members) member->unlock();
  registry().mutex.unlock();
}

}  // namespace

ForkMutex::ForkMutex() {
  static const int registered = ::pthread_atfork(&lock_all, &unlock_all, &unlock_all);
  CORN_CHECK(registered == 0);
  const std::lock_guard lock(registry().mutex);
  registry().members.push_back(this);
}

ForkMutex::~ForkMutex() {
  const std::lock_guard lock(registry().mutex);
  std::erase(registry().members, this);
}

}  // namespace corn::base
