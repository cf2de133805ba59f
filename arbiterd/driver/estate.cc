// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/estate.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "arbiterd/driver/adoption_socket.h"
#include "arbiterd/driver/state_file.h"
#include "arbiterd/os/bind_address.h"
#include "arbiterd/os/child_watch.h"
#include "arbiterd/os/loop.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// How long orphans have to offer themselves; they try every 50 ms.
constexpr base::Duration kAdoptionLimit = std::chrono::seconds(2);
constexpr off_t kMaxStateBytes = 64 * 1024 * 1024;

base::Result<std::string> read_all(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return base::fail_errno("cannot read the state", errno);
  if (status.st_size > kMaxStateBytes) return base::fail("the state is too large", EFBIG);
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n =
        ::pread(descriptor, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::fail_errno("cannot read the state", errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

// A descriptor that was left open over exec; empty if it isn't open.
base::UniqueFd take(int number) {
  if (number < 0 || ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return {};
  return base::UniqueFd(number);
}

base::Status add_listener(PoolGeneration& generation, const ListenerRecord& record,
                          base::UniqueFd socket) {
  auto address = os::parse_bind_address(record.bind);
  if (!address) return tl::unexpected(address.error());
  address->activated = record.activated;
  auto listener = os::Listener::adopt(*address, std::move(socket), record.file);
  if (!listener) return tl::unexpected(listener.error());
  generation.listeners.push_back(std::make_shared<os::Listener>(std::move(*listener)));
  return {};
}

void add_pools(Estate& estate) {
  for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
    PoolRuntime& runtime = estate.pools[pool.name];
    runtime.totals = estate.state.pools[pool.name].totals;
    runtime.generations[pool.generation];
  }
}

PoolGeneration& committed_of(Estate& estate, const core::InheritedPool& pool) {
  return estate.pools[pool.name].generations[pool.generation];
}

// ---- adoption ----

struct RecordOfPool {
  const core::InheritedPool* pool = nullptr;
  const ListenerRecord* record = nullptr;
};

// Null: no pool had such a socket.
RecordOfPool find_record(Estate& estate, std::uint64_t inode) {
  for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
    for (const ListenerRecord& record : estate.state.pools[pool.name].listeners) {
      if (record.inode == inode) return {&pool, &record};
    }
  }
  return {};
}

// Gives each of the sockets that a worker handed over to the pool that had it, unless another
// worker has brought it before.
void add_offered(Estate& estate, std::vector<base::UniqueFd> sockets,
                 std::set<std::uint64_t>& known) {
  for (base::UniqueFd& socket : sockets) {
    const std::uint64_t inode = os::socket_inode(socket.get());
    if (!known.insert(inode).second) continue;
    const auto [pool, record] = find_record(estate, inode);
    if (record == nullptr) continue;
    if (auto added = add_listener(committed_of(estate, *pool), *record, std::move(socket));
        !added) {
      base::log_warning("{}; it is not taken over", added.error().message);
    }
  }
}

// Opens pidfds of the workers that still run; returns how many do.
std::size_t find_survivors(Estate& estate) {
  std::size_t count = 0;
  for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
    for (const core::InheritedWorker& worker : pool.workers) {
      InheritedProcess& process = estate.workers[worker.id];
      auto pidfd = os::open_pidfd(worker.pid);
      const auto start_time = os::read_start_time(worker.pid);
      if (!pidfd || !start_time || *start_time != estate.state.workers[worker.id].start_time) {
        continue;
      }
      process.pidfd = std::move(*pidfd);
      ++count;
    }
  }
  return count;
}

// What an arbiter would know that had been there: these have been leaving since.
void note_departures(Estate& estate, const std::map<core::WorkerId, core::Cause>& left) {
  for (core::InheritedPool& pool : estate.state.inheritance.pools) {
    for (core::InheritedWorker& worker : pool.workers) {
      InheritedProcess& process = estate.workers[worker.id];
      auto cause = departure_cause(process.retiring);
      if (const auto noted = left.find(worker.id); !cause && noted != left.end()) {
        cause = noted->second;
      }
      const bool told_to_go = worker.state == core::WorkerState::kDraining ||
                              worker.state == core::WorkerState::kStopping;
      if (!cause || told_to_go) continue;
      worker.state = core::WorkerState::kDraining;
      worker.end_cause = *cause;
      process.retiring.clear();
    }
  }
}

pid_t pid_of(const Estate& estate, core::WorkerId id) {
  for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
    for (const core::InheritedWorker& worker : pool.workers) {
      if (worker.id == id) return worker.pid;
    }
  }
  return 0;
}

PoolRuntime* pool_of(Estate& estate, core::WorkerId id) {
  for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
    for (const core::InheritedWorker& worker : pool.workers) {
      if (worker.id == id) return &estate.pools[pool.name];
    }
  }
  return nullptr;
}

// Lets survivors offer themselves until all have or the limit is reached.
base::Status collect_offers(Estate& estate, const std::string& path, std::size_t expected) {
  auto loop = os::EpollLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  std::set<std::uint64_t> known;
  std::set<core::WorkerId> settled;
  const auto settle = [&](core::WorkerId id) {
    settled.insert(id);
    if (settled.size() >= expected) (*loop)->stop();
  };
  auto socket = AdoptionSocket::listen(
      **loop, path,
      [&](core::WorkerId id, pid_t pid) {
        return estate.workers.contains(id) && pid_of(estate, id) == pid;
      },
      [&](OfferedWorker offered) {
        InheritedProcess& process = estate.workers[offered.id];
        process.channel = std::move(offered.channel);
        process.scoreboard = std::move(offered.scoreboard);
        process.ready = offered.ready;
        process.retiring = std::move(offered.retiring);
        add_offered(estate, std::move(offered.listeners), known);
        if (PoolRuntime* pool = pool_of(estate, offered.id); pool != nullptr && !pool->hand_off) {
          pool->hand_off = std::move(offered.hand_off);
        }
        settle(offered.id);
      });
  if (!socket) return tl::unexpected(socket.error());
  for (const auto& [id, process] : estate.workers) {
    if (!process.pidfd) continue;
    const int pidfd = process.pidfd.get();
    std::ignore = (*loop)->watch(pidfd, EPOLLIN, [&, pidfd, id = id](std::uint32_t) {
      (*loop)->unwatch(pidfd);
      settle(id);
    });
  }
  (*loop)->set_deadline((*loop)->now() + kAdoptionLimit);
  (*loop)->on_deadline([&] { (*loop)->stop(); });
  (*loop)->run();
  return {};
}

}  // namespace

std::optional<base::UniqueFd> take_state_descriptor(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int number = -1;
  std::from_chars(text, text + std::strlen(text), number);
  ::unsetenv(variable);
  return take(number);
}

base::Result<InstanceState> read_sealed_state(const base::UniqueFd& descriptor) {
  auto text = read_all(descriptor.get());
  if (!text) return tl::unexpected(text.error());
  return read_state(*text);
}

base::Result<Estate> take_over(InstanceState state) {
  Estate estate;
  estate.state = std::move(state);
  estate.upgraded = true;
  estate.lock = take(estate.state.lock);
  estate.log = take(estate.state.log);
  add_pools(estate);
  for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
    const PoolRecord& left = estate.state.pools[pool.name];
    for (const ListenerRecord& record : left.listeners) {
      auto added = add_listener(committed_of(estate, pool), record, take(record.descriptor));
      if (!added) return tl::unexpected(added.error());
    }
    if (left.hand_off_in >= 0) {
      auto queue = os::HandOffQueue::adopt(take(left.hand_off_in), take(left.hand_off_out));
      if (!queue) return tl::unexpected(queue.error());
      estate.pools[pool.name].hand_off =
          std::make_shared<const os::HandOffQueue>(std::move(*queue));
    }
    for (const core::InheritedWorker& worker : pool.workers) {
      const WorkerRecord& record = estate.state.workers[worker.id];
      InheritedProcess& process = estate.workers[worker.id];
      process.channel = base::Channel(take(record.channel));
      process.pidfd = take(record.pidfd);
      // One that was adopted and hasn't been heard of since has none.
      if (record.scoreboard < 0) continue;
      auto scoreboard = base::ScoreboardMap::attach(take(record.scoreboard));
      if (!scoreboard) return tl::unexpected(scoreboard.error());
      process.scoreboard = std::move(*scoreboard);
    }
  }
  return estate;
}

base::Result<std::optional<Estate>> adopt(const std::string& state_file,
                                          const std::string& adoption_socket) {
  const base::UniqueFd file(::open(state_file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return std::nullopt;
  auto state = read_sealed_state(file);
  if (!state) {
    base::log_warning("{}: {}; ignoring the file", state_file, state.error().message);
    return std::nullopt;
  }
  if (state->machine != boot_id()) return std::nullopt;
  Estate estate;
  estate.state = std::move(*state);
  const std::size_t survivors = find_survivors(estate);
  const auto left = read_departures(state_file);
  if (survivors == 0) {
    note_departures(estate, left);
    estate.extinct = true;
    return estate;
  }
  add_pools(estate);
  if (auto collected = collect_offers(estate, adoption_socket, survivors); !collected) {
    return tl::unexpected(collected.error());
  }
  note_departures(estate, left);
  return estate;
}

}  // namespace corn::driver
