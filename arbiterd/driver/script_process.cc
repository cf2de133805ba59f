// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/script_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "arbiterd/driver/convert.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// From its fork, which comes before this program begins, to its first message.
constexpr int kIntroductionLimit = 10'000;  // milliseconds

std::optional<int> take_number(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int number = -1;
  std::from_chars(text, text + std::strlen(text), number);
  ::unsetenv(variable);
  return number;
}

base::Result<pid_t> introduction(base::Channel& channel) {
  pollfd wait{channel.descriptor(), POLLIN, 0};
  if (::poll(&wait, 1, kIntroductionLimit) <= 0) return base::fail("it says nothing", ETIMEDOUT);
  auto message = channel.receive();
  if (!message) return tl::unexpected(message.error());
  const auto* hello = *message ? std::get_if<base::Hello>(&**message) : nullptr;
  if (hello == nullptr) return base::fail("it doesn't introduce itself", EBADMSG);
  return hello->pid;
}

}  // namespace

base::Result<std::unique_ptr<ScriptProcess>> ScriptProcess::take() {
  const auto descriptor = take_number(kScriptVariable);
  const auto known_pid = take_number(kScriptPidVariable);
  if (!descriptor || *descriptor < 0) return nullptr;
  const int flags = ::fcntl(*descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(*descriptor, F_SETFL, flags | O_NONBLOCK) < 0 ||
      ::fcntl(*descriptor, F_SETFD, FD_CLOEXEC) < 0) {
    return base::fail_errno("the channel to the script", errno);
  }
  base::Channel channel{base::UniqueFd(*descriptor)};
  base::Result<pid_t> pid = known_pid ? base::Result<pid_t>(*known_pid) : introduction(channel);
  if (!pid) return base::fail("the script: " + pid.error().message, pid.error().os_errno);
  auto pidfd = os::open_child(*pid);
  if (!pidfd) return base::fail("the script: " + pidfd.error().message, pidfd.error().os_errno);
  return std::unique_ptr<ScriptProcess>(
      new ScriptProcess(std::move(channel), *pid, std::move(*pidfd)));
}

ScriptProcess::ScriptProcess(base::Channel channel, pid_t pid, base::UniqueFd pidfd)
    : channel_(std::move(channel)), pid_(pid), pidfd_(std::move(pidfd)) {}

ScriptProcess::~ScriptProcess() { detach(); }

base::Status ScriptProcess::attach(os::EventLoop& loop, os::ChildWatch& children) {
  if (!ended_.empty()) return {};
  base::UniqueFd pidfd(::fcntl(pidfd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!pidfd) return base::fail_errno("the script", errno);
  loop_ = &loop;
  children_ = &children;
  server_.emplace(children, [] {});
  if (auto watched = children.watch(
          pid_, std::move(pidfd), [this](pid_t, const os::ExitStatus& status) { on_exit(status); });
      !watched) {
    return watched;
  }
  if (auto watched =
          loop.watch(channel_.descriptor(), EPOLLIN, [this](std::uint32_t) { on_channel(); });
      !watched) {
    return watched;
  }
  server_->open(channel_);
  return {};
}

void ScriptProcess::detach() {
  if (loop_ == nullptr) return;
  loop_->unwatch(channel_.descriptor());
  children_->unwatch(pid_);
  server_.reset();
  loop_ = nullptr;
  children_ = nullptr;
}

void ScriptProcess::on_channel() {
  for (;;) {
    auto received = channel_.receive();
    if (!received && received.error().os_errno == EBADMSG) continue;
    if (!received) return loop_->unwatch(channel_.descriptor());
    if (!*received) return;
    server_->on_message(**received);
  }
}

void ScriptProcess::on_exit(const os::ExitStatus& status) {
  on_channel();
  loop_->unwatch(channel_.descriptor());
  ended_ = core::to_string(to_core(status));
  base::log_error(
      "The script's process (pid:{}) has ended unexpectedly ({}); workers serve on, but settings "
      "and "
      "application can't be loaded again: restart the script",
      pid_, ended_);
  server_->end("the script's process has ended (" + ended_ + ")");
}

void ScriptProcess::fork(PreparedFork prepared, Done done) {
  if (!ended_.empty()) {
    return done(base::fail("the script's process (pid " + std::to_string(pid_) + ") has ended (" +
                           ended_ + "), so that nothing can be loaded again; restart the script"));
  }
  const auto shared = std::make_shared<PreparedFork>(std::move(prepared));
  ForkRequest request;
  request.token = ++last_token_;
  request.fork = shared->message;
  request.descriptors = {shared->child_end.descriptor()};
  request.sent = [shared] { shared->child_end = {}; };
  request.done = [this, shared, done = std::move(done)](const ForkOutcome& outcome) {
    if (outcome.uncertain) children_->end_expectation();  // it finds its channel closed
    if (outcome.pid == 0) return done(base::fail("fork from the script: " + outcome.error));
    auto pidfd = os::open_child(outcome.pid);
    if (!pidfd) return done(tl::unexpected(pidfd.error()));
    done(LaunchedWorkerd{{outcome.pid, std::move(*pidfd)}, std::move(shared->channel)});
  };
  server_->add(std::move(request));
}

void ScriptProcess::leave(int status, base::Duration limit) {
  if (!ended_.empty()) return;
  std::ignore = channel_.send(base::Leave{status});
  const auto milliseconds = std::chrono::duration_cast<base::Milliseconds>(limit).count();
  pollfd wait{pidfd_.get(), POLLIN, 0};
  if (::poll(&wait, 1, static_cast<int>(milliseconds)) <= 0) {
    base::log_error("The script's process (pid:{}) has not ended within {} s and is killed", pid_,
                    milliseconds / 1000);
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    ::poll(&wait, 1, -1);
  }
  ::waitpid(pid_, nullptr, 0);
  ended_ = "it was told to leave";
}

}  // namespace corn::driver
