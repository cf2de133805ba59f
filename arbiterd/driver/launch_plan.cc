// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/launch_plan.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "arbiterd/os/users.h"
#include "base/message.h"

namespace corn::driver {
namespace {

// Descriptors a worker needs beside its clients': listeners, epoll, logs, the application's files.
constexpr rlim_t kSpareDescriptors = 256;

// Later entries win, as in a shell's `env A=1 A=2`.
std::vector<std::string> merge_environment(std::vector<std::string> base,
                                           const std::vector<std::string>& added) {
  for (const std::string& entry : added) {
    const std::string prefix = entry.substr(0, entry.find('=') + 1);
    std::erase_if(base, [&](const std::string& old) { return old.starts_with(prefix); });
    base.push_back(entry);
  }
  return base;
}

std::string own_directory() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  if (n <= 0) return {};
  const std::string program(path, static_cast<std::size_t>(n));
  return program.substr(0, program.rfind('/'));
}

// The channel of a child in which `config` waits for it.
base::Result<std::pair<base::Channel, base::Channel>> make_channel(
    const base::WorkerConfig& config) {
  auto channel = base::Channel::make_pair();
  if (!channel) return channel;
  if (auto sent = channel->first.send(base::Configure{config}); !sent) {
    return base::fail("the settings don't fit into one message: " + sent.error().message);
  }
  return channel;
}

rlimit descriptor_limit(const LaunchContext& context, const base::WorkerConfig& config) {
  // Twice as many: a worker takes over what others hand over although it is full.
  const rlim_t connections = 2 * rlim_t{config.worker_connections};
  rlimit limit = context.descriptor_limit;
  limit.rlim_cur =
      std::min(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, connections + kSpareDescriptors));
  return limit;
}

}  // namespace

base::Result<std::string> find_workerd(const std::string& configured) {
  std::vector<std::string> candidates;
  if (!configured.empty()) {
    candidates.push_back(configured);
  } else {
    candidates = {own_directory() + "/workerd", own_directory() + "/../libexec/corn/workerd",
                  "/usr/libexec/corn/workerd", "/usr/local/libexec/corn/workerd"};
  }
  for (const std::string& candidate : candidates) {
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  std::string tried;
  for (const std::string& candidate : candidates) tried += "\n  " + candidate;
  return base::fail("no executable workerd; looked for" + tried + "\nname it with --workerd PATH");
}

base::Result<std::shared_ptr<const base::UniqueFd>> hold_workerd(const std::string& program) {
  base::UniqueFd held(::open(program.c_str(), O_PATH | O_CLOEXEC));
  if (!held) return base::fail_errno("open " + program, errno);
  // A file that may be executed but not read is no script: the interpreter couldn't read it either.
  const base::UniqueFd content(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  char head[2];
  if (content && ::read(content.get(), head, sizeof head) == sizeof head && head[0] == '#' &&
      head[1] == '!') {
    return nullptr;
  }
  return std::make_shared<const base::UniqueFd>(std::move(held));
}

base::Result<LaunchedWorkerd> launch_workerd(os::ProcessLauncher& launcher,
                                             const LaunchContext& context,
                                             const config::PoolSettings& pool,
                                             const base::WorkerConfig& config,
                                             std::vector<os::DescriptorMapping> descriptors) {
  auto identity = os::resolve_identity(pool.user, pool.group);
  if (!identity) return tl::unexpected(identity.error());
  auto channel = make_channel(config);
  if (!channel) return tl::unexpected(channel.error());

  os::LaunchSpec spec;
  spec.program = context.program;
  if (context.program_file) spec.program_file = context.program_file->get();
  spec.argv = {"workerd"};
  spec.environment = merge_environment(context.environment, pool.environment);
  spec.descriptors = std::move(descriptors);
  spec.descriptors.push_back({channel->second.descriptor(), base::kChannelFd});
  spec.identity = std::move(*identity);
  if (pool.umask) spec.umask = static_cast<mode_t>(*pool.umask);
  spec.working_directory = config.working_directory;
  spec.limits.push_back({RLIMIT_NOFILE, descriptor_limit(context, config)});

  // Reading from the terminal would stop a child for good: it isn't in the foreground.
  base::UniqueFd no_input;
  if (::isatty(STDIN_FILENO) == 1) {
    no_input.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (no_input) spec.descriptors.push_back({no_input.get(), STDIN_FILENO});
  }

  auto child = launcher.launch(spec);
  if (!child) return tl::unexpected(child.error());
  return LaunchedWorkerd{std::move(*child), std::move(channel->first)};
}

base::Result<PreparedFork> prepare_fork(const LaunchContext& context,
                                        const config::PoolSettings& pool,
                                        const base::WorkerConfig& config,
                                        std::vector<std::string> environment) {
  auto identity = os::resolve_identity(pool.user, pool.group);
  if (!identity) return tl::unexpected(identity.error());
  auto channel = make_channel(config);
  if (!channel) return tl::unexpected(channel.error());
  PreparedFork prepared;
  if (*identity) {
    prepared.message.has_identity = true;
    prepared.message.uid = (*identity)->uid;
    prepared.message.gid = (*identity)->gid;
    prepared.message.groups.assign((*identity)->groups.begin(), (*identity)->groups.end());
  }
  prepared.message.has_umask = pool.umask.has_value();
  prepared.message.umask = pool.umask.value_or(0);
  prepared.message.descriptor_limit = descriptor_limit(context, config).rlim_cur;
  prepared.message.environment = std::move(environment);
  prepared.channel = std::move(channel->first);
  prepared.child_end = std::move(channel->second);
  return prepared;
}

}  // namespace corn::driver
