// SPDX-License-Identifier: Apache-2.0
#include "workerd/link/link.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <limits>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/log.h"
#include "workerd/link/signals.h"

namespace corn::link {
namespace {

using base::Milliseconds;
using base::TimePoint;

// Far more than a worker ever has to say at once; a peer that takes nothing must not fill memory.
constexpr std::size_t kMaxQueuedMessages = 64;

// Between two attempts to find a new arbiterd.
constexpr base::Milliseconds kOfferInterval{50};

// How long send() waits for a full channel where there is no thread yet to keep a queue.
constexpr int kSendWaitMilliseconds = 1000;

TimePoint now() { return base::MonotonicClock().now(); }

// Of the link's thread: application signals (SIGALRM, SIGPROF, SIGCHLD, ...) are the application's
// threads' business. Faults stay: a blocked one kills without a word.
void block_foreign_signals() {
  sigset_t set;
  sigfillset(&set);
  for (const int kept : {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
                         SIGILL, SIGTRAP, SIGSYS}) {
    sigdelset(&set, kept);
  }
  ::pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

// Where the kernel allows only ancestors to trace a process (Yama, ptrace_scope 1): arbiterd's
// children may too, one of which reads native stacks. Elsewhere this does nothing.
void allow_tracing_by_peer(const base::Channel& channel) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(channel.descriptor(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  if (peer.pid > 0) ::prctl(PR_SET_PTRACER, static_cast<unsigned long>(peer.pid), 0, 0, 0);
}

std::optional<TimePoint> earliest(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a) return b;
  if (!b) return a;
  return std::min(*a, *b);
}

}  // namespace

OpenFiles name_files(const base::TakeLogs& order, std::vector<base::UniqueFd> files) {
  OpenFiles named;
  if (files.size() != order.paths.size()) return named;
  for (std::size_t i = 0; i < files.size(); ++i) {
    named.insert_or_assign(order.paths[i], std::move(files[i]));
  }
  return named;
}

int find_file(const OpenFiles& files, const std::string& path) {
  const auto found = files.find(path);
  return found == files.end() ? -1 : found->second.get();
}

base::Result<base::WorkerConfig> receive_configuration(base::Channel& channel) {
  auto message = channel.receive();
  if (!message) return base::fail("cannot read the configuration: " + message.error().message);
  if (*message) {
    if (auto* configure = std::get_if<base::Configure>(&**message)) {
      return std::move(configure->config);
    }
  }
  return base::fail(
      "the first message on the channel is not the configuration: arbiterd and workerd are of "
      "different versions");
}

base::Result<std::unique_ptr<Link>> Link::open(base::UniqueFd channel) {
  if (::fcntl(channel.get(), F_SETFD, FD_CLOEXEC) < 0) {
    return base::fail_errno("cannot set up the channel", errno);
  }
  base::UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return base::fail_errno("cannot make an eventfd", errno);
  if (auto status = install_signal_handlers(wake.get()); !status) {
    return tl::unexpected(status.error());
  }
  return std::unique_ptr<Link>(new Link(std::move(channel), std::move(wake)));
}

// The eventfd is left open for good: a signal handler may write to it at any time, and must not hit
// another file that got its number.
Link::Link(base::UniqueFd channel, base::UniqueFd wake)
    : wake_fd_(wake.release()), channel_(std::move(channel)) {}

Link::~Link() { stop(); }

void Link::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
  flush_queue();
  if (queue_.empty()) return;
  struct pollfd entry = {channel_.descriptor(), POLLOUT, 0};
  ::poll(&entry, 1, kSendWaitMilliseconds);
  flush_queue();
}

base::Status Link::start(Callbacks callbacks, Milliseconds graceful_timeout,
                         Milliseconds orphan_timeout, Estate estate) {
  allow_tracing_by_peer(channel_);
  estate_ = std::move(estate);
  callbacks_ = std::move(callbacks);
  graceful_timeout_ = graceful_timeout;
  orphan_timeout_ = orphan_timeout;
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
  }
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    running_ = false;
    return base::fail_errno("cannot start the link's thread", error.code().value());
  }
  return {};
}

base::Status Link::send(base::Message message) {
  std::unique_lock lock(mutex_);
  if (std::holds_alternative<base::Ready>(message)) ready_ = true;
  if (const auto* retiring = std::get_if<base::Retiring>(&message)) retiring_ = retiring->cause;
  if (!channel_) return base::fail("arbiterd has gone", EPIPE);
  if (queue_.empty()) {
    auto status = channel_.send(message);
    if (!status && status.error().os_errno == EAGAIN && !running_) {
      struct pollfd entry = {channel_.descriptor(), POLLOUT, 0};
      ::poll(&entry, 1, kSendWaitMilliseconds);
      status = channel_.send(message);
    }
    if (status || status.error().os_errno != EAGAIN || !running_) return status;
  }
  if (queue_.size() >= kMaxQueuedMessages) return base::fail("arbiterd takes no messages", EAGAIN);
  queue_.push_back(std::move(message));
  lock.unlock();
  wake();
  return {};
}

void Link::exit_by(base::Duration limit, int status) {
  {
    const std::lock_guard lock(mutex_);
    const TimePoint deadline = now() + limit;
    if (exit_deadline_ && *exit_deadline_ <= deadline) return;
    exit_deadline_ = deadline;
    exit_status_ = status;
  }
  wake();
}

bool Link::orphaned() const {
  const std::lock_guard lock(mutex_);
  return orphaned_;
}

std::vector<base::UniqueFd> Link::release_listeners() {
  const std::lock_guard lock(mutex_);
  return std::exchange(estate_.listeners, {});
}

void Link::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_fd_, &one, sizeof one);
}

void Link::run() {
  ::pthread_setname_np(::pthread_self(), "corn-link");
  block_foreign_signals();
  for (;;) {
    std::array<struct pollfd, 2> entries{};
    entries[0] = {wake_fd_, POLLIN, 0};
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      // poll(2) passes over negative descriptors.
      const auto interest = static_cast<short>(queue_.empty() ? POLLIN : POLLIN | POLLOUT);
      entries[1] = {channel_.descriptor(), interest, 0};
    }
    const int ready = ::poll(entries.data(), entries.size(), poll_timeout(now()));
    CORN_CHECK(ready >= 0 || errno == EINTR);
    if (entries[0].revents != 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t n = ::read(wake_fd_, &count, sizeof count);
    }
    obey_signals();
    if ((entries[1].revents & POLLOUT) != 0) flush_queue();
    if ((entries[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive_messages();
    check_deadlines(now());
    seek_adoption(now());
  }
}

int Link::poll_timeout(TimePoint time) const {
  const std::lock_guard lock(mutex_);
  const auto deadline = earliest(earliest(orphan_deadline_, exit_deadline_), next_offer_);
  if (!deadline) return -1;
  if (*deadline <= time) return 0;
  const auto left = std::chrono::ceil<Milliseconds>(*deadline - time).count();
  return static_cast<int>(std::min<std::int64_t>(left, std::numeric_limits<int>::max()));
}

void Link::receive_messages() {
  std::vector<base::UniqueFd> descriptors;
  auto message = channel_.receive(descriptors);
  if (!message) {
    if (message.error().os_errno == EBADMSG) {
      base::log_warning("A message of arbiterd's is left unread: {}", message.error().message);
    } else {
      lose_channel();
    }
    return;
  }
  if (!*message) return;
  if (std::exchange(offered_, false)) note_adoption();
  obey(**message, std::move(descriptors));
}

void Link::obey(const base::Message& message, std::vector<base::UniqueFd> descriptors) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        base::Status sent;
        if constexpr (std::is_same_v<T, base::Drain>) {
          callbacks_.drain(value.grace, value.empty_backlog);
        } else if constexpr (std::is_same_v<T, base::EndOverdue>) {
          callbacks_.end_overdue(value.limit, value.grace);
        } else if constexpr (std::is_same_v<T, base::ReopenLogs>) {
          callbacks_.reopen_logs({});
        } else if constexpr (std::is_same_v<T, base::TakeLogs>) {
          callbacks_.reopen_logs(name_files(value, std::move(descriptors)));
        } else if constexpr (std::is_same_v<T, base::Dump>) {
          base::DumpResult result = callbacks_.dump(value.patience);
          result.token = value.token;
          sent = send(std::move(result));
        } else if constexpr (std::is_same_v<T, base::Ping>) {
          sent = send(base::Pong{value.token});
        } else if constexpr (std::is_same_v<T, base::Unsupported>) {
          sent = answer_unsupported(value);
        } else {
          // A message for another time or another peer; the newer side learns that it is not
          // understood.
          sent = send(base::Unsupported{static_cast<std::uint16_t>(message.index()),
                                        base::kMessageVersion});
        }
        if (!sent) base::log_warning("No answer to arbiterd: {}", sent.error().message);
      },
      message);
}

// What stands in for a message this side doesn't know, or what arbiterd says about one of ours.
// Only the first is answered, and a foreign Unsupported never, so that two versions don't answer
// each other for ever.
base::Status Link::answer_unsupported(const base::Unsupported& message) {
  const bool known_type = message.type < std::variant_size_v<base::Message>;
  if (known_type && message.version == base::kMessageVersion) {
    base::log_warning("arbiterd, of another version, does not know message type {}", message.type);
    return {};
  }
  if (message.type == base::Message(base::Unsupported{}).index()) return {};
  return send(message);
}

void Link::obey_signals() {
  const SignalSet signals = take_signals();
  if (!signals.any()) return;
  if (signals.abort) {
    callbacks_.abort();
    die_of_abort();
  }
  if (signals.quit) {
    quitting_ = true;
    callbacks_.quit();
  } else if (signals.terminate && !quitting_) {
    if (orphaned()) {
      leave_unattended("exited");
    } else if (signals.by_parent) {
      callbacks_.drain(graceful_timeout_, true);
    } else {
      callbacks_.retire(graceful_timeout_);
    }
  }
  if (signals.reopen_logs) callbacks_.reopen_logs({});
}

void Link::flush_queue() {
  const std::lock_guard lock(mutex_);
  while (!queue_.empty()) {
    const auto status = channel_.send(queue_.front());
    if (!status && status.error().os_errno == EAGAIN) return;
    queue_.pop_front();
  }
}

void Link::lose_channel() {
  {
    const std::lock_guard lock(mutex_);
    channel_ = base::Channel();
    queue_.clear();
    next_offer_ = estate_.socket.empty() ? std::nullopt : std::optional(now() + kOfferInterval);
    // An offer that wasn't taken leaves the deadline as it is.
    offered_ = false;
    if (std::exchange(orphaned_, true) || exit_deadline_) return;
  }
  if (orphan_timeout_.count() == 0) {
    base::log_warning("arbiterd has gone; serving on");
    return;
  }
  orphan_deadline_ = now() + orphan_timeout_;
  base::log_warning("arbiterd has gone; serving on for {:g} s, then finishing if nobody comes",
                    static_cast<double>(orphan_timeout_.count()) / 1000);
}

void Link::seek_adoption(TimePoint time) {
  if (!next_offer_ || time < *next_offer_) return;
  next_offer_ = time + kOfferInterval;
  const std::lock_guard lock(mutex_);
  auto channel = offer(estate_, ready_, retiring_);
  if (!channel) return;
  channel_ = std::move(*channel);
  offered_ = true;
  next_offer_.reset();
}

void Link::note_adoption() {
  {
    const std::lock_guard lock(mutex_);
    orphaned_ = false;
    allow_tracing_by_peer(channel_);
  }
  orphan_deadline_.reset();
  base::log_info("Adopted by a new arbiterd");
}

void Link::leave_unattended(const char* cause) {
  orphan_deadline_.reset();
  if (!std::exchange(leaves_unattended_, true)) {
    const std::lock_guard lock(mutex_);
    retiring_ = cause;
    if (estate_.departures) {  // noted before the process may end
      const std::string line = std::to_string(estate_.worker_id) + " " + cause + "\n";
      [[maybe_unused]] const ssize_t n =
          ::write(estate_.departures.get(), line.data(), line.size());
    }
  }
  callbacks_.drain(graceful_timeout_, true);
}

void Link::check_deadlines(TimePoint time) {
  if (orphan_deadline_ && *orphan_deadline_ <= time) {
    base::log_warning("No arbiterd has come to adopt this worker; finishing");
    leave_unattended("orphaned");
  }
  std::optional<int> status;
  {
    const std::lock_guard lock(mutex_);
    if (exit_deadline_ && *exit_deadline_ <= time) status = exit_status_;
  }
  if (status) {
    callbacks_.overdue();
    ::_exit(*status);
  }
}

}  // namespace corn::link
