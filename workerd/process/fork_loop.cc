// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/fork_loop.h"

#include <poll.h>

#include <cerrno>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/log.h"

namespace corn::process {
namespace {

constexpr int kSendWaitMilliseconds = 1000;

}  // namespace

void tell(const base::Channel& channel, const base::Message& message) {
  auto sent = channel.send(message);
  if (!sent && sent.error().os_errno == EAGAIN) {
    struct pollfd entry = {channel.descriptor(), POLLOUT, 0};
    ::poll(&entry, 1, kSendWaitMilliseconds);
    sent = channel.send(message);
  }
  if (!sent) base::log_error("arbiterd was not reached: {}", sent.error().message);
}

int ForkLoop::run(base::Channel& channel, int orphaned) const {
  for (;;) {
    struct pollfd entry = {channel.descriptor(), POLLIN, 0};
    if (::poll(&entry, 1, -1) < 0) continue;
    std::vector<base::UniqueFd> descriptors;
    auto received = channel.receive(descriptors);
    if (!received) {
      if (received.error().os_errno != EBADMSG) return orphaned;
      base::log_warning("A message of arbiterd's is left unread: {}", received.error().message);
      continue;
    }
    if (!*received) continue;
    const base::Message& message = **received;
    if (const auto* order = std::get_if<base::Fork>(&message)) {
      fork(*order, std::move(descriptors));
    } else if (const auto* hook = std::get_if<base::RunHook>(&message);
               hook != nullptr && run_hook) {
      run_hook(*hook);
    } else if (std::holds_alternative<base::ReopenLogs>(message)) {
      reopen_logs({});
    } else if (const auto* logs = std::get_if<base::TakeLogs>(&message)) {
      reopen_logs(link::name_files(*logs, std::move(descriptors)));
    } else if (const auto* ping = std::get_if<base::Ping>(&message)) {
      tell(channel, base::Pong{ping->token});
    } else if (const auto* leave = std::get_if<base::Leave>(&message)) {
      return leave->status;
    } else if (std::holds_alternative<base::Drain>(message)) {
      return 0;
    } else if (!std::holds_alternative<base::Unsupported>(message)) {
      tell(channel,
           base::Unsupported{static_cast<std::uint16_t>(message.index()), base::kMessageVersion});
    }
  }
}

}  // namespace corn::process
