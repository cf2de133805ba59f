// SPDX-License-Identifier: Apache-2.0
// The event loop of the thread that owns the arbiter. It sleeps until a watched descriptor is
// ready, the deadline is reached or another thread posts a task; there is no periodic tick.
//
// One turn is: wait; read the clock once; deliver descriptor events; run posted tasks; and last, if
// the deadline is reached, the deadline callback. Facts are thus known before a time-out is judged.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

// What the driver needs of a loop; tests put a hand-driven one in its place. Every function except
// post(), stop() and on_loop_thread() may be called on the loop's thread only.
class EventLoop {
 public:
  // `ready` is a set of EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR.
  using DescriptorCallback = std::function<void(std::uint32_t ready)>;
  using Task = std::function<void()>;

  virtual ~EventLoop() = default;

  // Calls `callback` whenever one of `events` (EPOLLIN, EPOLLOUT, ...; level-triggered unless
  // EPOLLET is among them) holds for `fd`. The loop doesn't own `fd`: unwatch it before closing it.
  // Watching a descriptor again replaces its events and its callback. Fails when the kernel refuses
  // (out of memory, a regular file).
  virtual base::Status watch(int fd, std::uint32_t events, DescriptorCallback callback) = 0;

  // From here on the callback of `fd` is not called, not even for an event of this very turn. A
  // callback may unwatch its own descriptor or another; an unknown `fd` is ignored.
  virtual void unwatch(int fd) = 0;

  // What to call when the deadline is reached. To be set once, before run().
  virtual void on_deadline(Task callback) = 0;

  // Arms the one deadline, or disarms it with nullopt; it is disarmed when it fires. Costs a system
  // call only if the deadline has changed by the time the loop goes to sleep.
  virtual void set_deadline(std::optional<base::TimePoint> deadline) = 0;

  // Runs `task` on the loop's thread in a later turn, in the order posted. Any thread. Returns
  // false, and drops the task, when the queue is full or the loop has stopped.
  [[nodiscard]] virtual bool post(Task task) = 0;

  // Time at the beginning of this turn; outside of run() the present time.
  [[nodiscard]] virtual base::TimePoint now() const = 0;

  [[nodiscard]] virtual bool on_loop_thread() const = 0;

  // Serves until stop(). Tasks that were accepted by post() before the stop are still run before it
  // returns, so that nobody waits for their outcome in vain.
  virtual void run() = 0;

  // Makes run() return after the present turn; final. Any thread.
  virtual void stop() = 0;
};

// The real loop: epoll, one timerfd, one eventfd. It belongs to the thread that created it.
class EpollLoop final : public EventLoop {
 public:
  static constexpr std::size_t kDefaultQueueLimit = 4096;

  // `queue_limit`: how many posted tasks may wait.
  static base::Result<std::unique_ptr<EpollLoop>> create(
      std::size_t queue_limit = kDefaultQueueLimit);

  base::Status watch(int fd, std::uint32_t events, DescriptorCallback callback) override;
  void unwatch(int fd) override;
  void on_deadline(Task callback) override;
  void set_deadline(std::optional<base::TimePoint> deadline) override;
  [[nodiscard]] bool post(Task task) override;
  [[nodiscard]] base::TimePoint now() const override;
  [[nodiscard]] bool on_loop_thread() const override;
  void run() override;
  void stop() override;

 private:
  struct Watch {
    std::uint32_t serial = 0;  // tells this watch from an earlier one of the same descriptor number
    DescriptorCallback callback;
  };

  EpollLoop(base::UniqueFd epoll, base::UniqueFd timer, base::UniqueFd wakeup,
            std::size_t queue_limit);
  void turn();
  void dispatch(std::uint64_t token, std::uint32_t ready);
  void arm_timer();
  void run_posted();
  void wake();

  // Constant after construction.
  const base::UniqueFd epoll_;
  const base::UniqueFd timer_;
  const base::UniqueFd wakeup_;
  const std::size_t queue_limit_;
  const std::thread::id thread_;

  // Loop thread only.
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::uint32_t next_serial_ = 1;
  Task deadline_callback_;
  std::optional<base::TimePoint> deadline_;
  std::optional<base::TimePoint> armed_;  // what the timerfd is set to
  base::TimePoint turn_start_;
  bool running_ = false;

  std::atomic<bool> stopping_ = false;

  std::mutex mutex_;
  std::deque<Task> posted_;  // guarded by mutex_
  bool closed_ = false;      // guarded by mutex_; no task is accepted any more
};

}  // namespace corn::os
