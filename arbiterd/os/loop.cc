// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "base/check.h"

namespace corn::os {
namespace {

constexpr std::size_t kEventsPerTurn = 64;

// What epoll gives back: the descriptor's number and the serial of its watch, so that an event is
// not taken for that of a later watch of the same number.
std::uint64_t make_token(int fd, std::uint32_t serial) {
  return (std::uint64_t{serial} << 32U) | static_cast<std::uint32_t>(fd);
}

// The loop's own descriptors have serial 0, which no watch gets.
constexpr std::uint32_t kOwnSerial = 0;

void drain_counter(int fd) {
  std::uint64_t count = 0;
  // The only failure is EAGAIN: somebody was quicker than epoll, and nothing is left to read.
  [[maybe_unused]] const ssize_t size = ::read(fd, &count, sizeof(count));
}

}  // namespace

base::Result<std::unique_ptr<EpollLoop>> EpollLoop::create(std::size_t queue_limit) {
  base::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return base::fail_errno("create the event loop (epoll_create1)", errno);
  base::UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return base::fail_errno("create the event loop's timer (timerfd_create)", errno);
  base::UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return base::fail_errno("create the event loop's wake-up (eventfd)", errno);

  for (const int fd : {timer.get(), wakeup.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = make_token(fd, kOwnSerial);
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return base::fail_errno("create the event loop (epoll_ctl)", errno);
    }
  }
  return std::unique_ptr<EpollLoop>(
      new EpollLoop(std::move(epoll), std::move(timer), std::move(wakeup), queue_limit));
}

EpollLoop::EpollLoop(base::UniqueFd epoll, base::UniqueFd timer, base::UniqueFd wakeup,
                     std::size_t queue_limit)
    : epoll_(std::move(epoll)),
      timer_(std::move(timer)),
      wakeup_(std::move(wakeup)),
      queue_limit_(queue_limit),
      thread_(std::this_thread::get_id()) {}

base::Status EpollLoop::watch(int fd, std::uint32_t events, DescriptorCallback callback) {
  CORN_CHECK(on_loop_thread());
  const std::uint32_t serial = next_serial_;
  next_serial_ = next_serial_ == UINT32_MAX ? kOwnSerial + 1 : next_serial_ + 1;

  epoll_event event{};
  event.events = events;
  event.data.u64 = make_token(fd, serial);
  const int operation = watches_.contains(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) {
    return base::fail_errno("watch descriptor " + std::to_string(fd), errno);
  }
  watches_[fd] = std::make_shared<Watch>(Watch{serial, std::move(callback)});
  return {};
}

void EpollLoop::unwatch(int fd) {
  CORN_CHECK(on_loop_thread());
  if (watches_.erase(fd) == 0) return;
  const int result = ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  // A descriptor closed while watched leaves the loop with an event source that it can't name.
  CORN_CHECK(result == 0);
}

void EpollLoop::on_deadline(Task callback) {
  CORN_CHECK(on_loop_thread());
  deadline_callback_ = std::move(callback);
}

void EpollLoop::set_deadline(std::optional<base::TimePoint> deadline) {
  CORN_CHECK(on_loop_thread());
  deadline_ = deadline;
}

bool EpollLoop::post(Task task) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || posted_.size() >= queue_limit_) return false;
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (first) wake();
  return true;
}

base::TimePoint EpollLoop::now() const {
  CORN_CHECK(on_loop_thread());
  return running_ ? turn_start_ : base::TimePoint(std::chrono::steady_clock::now());
}

bool EpollLoop::on_loop_thread() const { return std::this_thread::get_id() == thread_; }

void EpollLoop::run() {
  CORN_CHECK(on_loop_thread());
  CORN_CHECK(!running_);
  running_ = true;
  turn_start_ = std::chrono::steady_clock::now();
  while (!stopping_) turn();
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  run_posted();
  running_ = false;
}

void EpollLoop::stop() {
  stopping_ = true;
  wake();
}

void EpollLoop::turn() {
  arm_timer();

  std::array<epoll_event, kEventsPerTurn> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
  turn_start_ = std::chrono::steady_clock::now();
  CORN_CHECK(count >= 0 || errno == EINTR);

  bool woken = false;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == make_token(timer_.get(), kOwnSerial)) {
      drain_counter(timer_.get());
      armed_.reset();
    } else if (event.data.u64 == make_token(wakeup_.get(), kOwnSerial)) {
      drain_counter(wakeup_.get());
      woken = true;
    } else {
      dispatch(event.data.u64, event.events);
    }
  }
  if (woken) run_posted();

  if (deadline_ && *deadline_ <= turn_start_) {
    deadline_.reset();
    if (deadline_callback_) deadline_callback_();
  }
}

void EpollLoop::dispatch(std::uint64_t token, std::uint32_t ready) {
  const auto fd = static_cast<int>(token & UINT32_MAX);
  const auto found = watches_.find(fd);
  if (found == watches_.end() || make_token(fd, found->second->serial) != token) return;
  const std::shared_ptr<Watch> watch = found->second;  // it may be unwatched by its own callback
  watch->callback(ready);
}

void EpollLoop::arm_timer() {
  if (deadline_ == armed_) return;
  itimerspec setting{};  // all zero disarms
  if (deadline_) {
    const auto nanoseconds =
        std::max<base::Duration::rep>(deadline_->time_since_epoch().count(), 1);
    setting.it_value.tv_sec = nanoseconds / 1'000'000'000;
    setting.it_value.tv_nsec = nanoseconds % 1'000'000'000;
  }
  CORN_CHECK(::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &setting, nullptr) == 0);
  armed_ = deadline_;
}

void EpollLoop::run_posted() {
  std::deque<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const Task& task : tasks) task();
}

void EpollLoop::wake() {
  const std::uint64_t one = 1;
  // Can't fail but by overflow (2^64 - 1 wake-ups unread), when the loop is awake anyway.
  [[maybe_unused]] const ssize_t size = ::write(wakeup_.get(), &one, sizeof(one));
}

}  // namespace corn::os
