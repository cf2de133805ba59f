// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/upgrade.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "arbiterd/driver/convert.h"
#include "arbiterd/driver/script_process.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// A Python configuration file may take a while.
constexpr base::Duration kCheckLimit = std::chrono::seconds(60);
constexpr std::size_t kMaxOutput = 64 * 1024;
// The descriptor under which the checking program finds the state.
constexpr int kStateDescriptor = 3;

base::Result<base::UniqueFd> seal(const InstanceState& state) {
  base::UniqueFd file(::memfd_create("corn-state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return base::fail_errno("cannot make a memory file", errno);
  const std::string text = to_text(state);
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return base::fail_errno("cannot write the state", errno);
    done += static_cast<std::size_t>(n);
  }
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return base::fail_errno("cannot seal the state", errno);
  }
  return file;
}

std::vector<int> descriptors_in(const InstanceState& state) {
  std::vector<int> all{state.lock, state.log};
  for (const auto& [id, worker] : state.workers) {
    all.insert(all.end(), {worker.channel, worker.scoreboard, worker.pidfd});
  }
  for (const auto& [name, pool] : state.pools) {
    for (const ListenerRecord& listener : pool.listeners) all.push_back(listener.descriptor);
    all.insert(all.end(), {pool.hand_off_in, pool.hand_off_out});
  }
  std::erase_if(all, [](int descriptor) { return descriptor < 0; });
  return all;
}

// Nobody who hasn't read the state knows it.
base::Result<std::string> make_trial_answer() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return base::fail_errno("getrandom", errno);
  }
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

// The state as a program sees it that is only tried: of what it would take over it is given what it
// must know how to use, under descriptors of its own; files of sockets it must leave alone.
InstanceState for_trial(InstanceState state, std::vector<os::DescriptorMapping>& descriptors) {
  int next = kStateDescriptor + 1;
  const auto give = [&](int& descriptor) {
    if (descriptor < 0) return;
    descriptors.push_back({descriptor, next});
    descriptor = next++;
  };
  state.lock = state.log = -1;
  for (auto& [id, worker] : state.workers) {
    worker.channel = worker.pidfd = -1;
    give(worker.scoreboard);
  }
  for (auto& [name, pool] : state.pools) {
    give(pool.hand_off_in);
    give(pool.hand_off_out);
    for (ListenerRecord& listener : pool.listeners) {
      give(listener.descriptor);
      listener.file.reset();
    }
  }
  return state;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// The process that checks, and what it says.
class Check : public std::enable_shared_from_this<Check> {
 public:
  using Done = std::function<void(base::Result<std::string>)>;

  Check(const ErrandContext& context, Done done) : context_(context), done_(std::move(done)) {}

  base::Status start(const StartedAs& started, const InstanceState& state) {
    auto program = find_program(started);
    if (!program) return tl::unexpected(program.error());
    auto answer = make_trial_answer();
    if (!answer) return tl::unexpected(answer.error());
    os::LaunchSpec spec;
    InstanceState tried = for_trial(state, spec.descriptors);
    tried.trial = *answer;
    auto sealed = seal(tried);
    if (!sealed) return tl::unexpected(sealed.error());
    program_ = *program;
    answer_ = std::move(*answer);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return base::fail_errno("pipe", errno);
    output_end_.reset(ends[0]);
    const base::UniqueFd writing(ends[1]);

    spec.program = program_;
    spec.argv = {started.program};
    spec.argv.insert(spec.argv.end(), started.arguments.begin(), started.arguments.end());
    spec.environment = started.environment;
    for (std::string& entry : spec.environment) {
      // The script serves one arbiter.
      const std::string name = std::string(kScriptVariable) + "=";
      if (entry.starts_with(name)) entry = name + "-1";
    }
    spec.environment.push_back(fmt::format("{}={}", kCheckUpgradeVariable, kStateDescriptor));
    spec.working_directory = started.working_directory;
    spec.descriptors.push_back({writing.get(), STDOUT_FILENO});
    spec.descriptors.push_back({writing.get(), STDERR_FILENO});
    spec.descriptors.push_back({sealed->get(), kStateDescriptor});
    auto child = context_.launcher.launch(spec);
    if (!child) return tl::unexpected(child.error());
    pid_ = child->pid;
    const auto self = shared_from_this();
    if (auto watched = context_.children.watch(
            pid_, std::move(child->pidfd),
            [self](pid_t, const os::ExitStatus& status) { self->on_exit(status); });
        !watched) {
      return watched;
    }
    std::ignore = context_.loop.watch(output_end_.get(), EPOLLIN,
                                      [self](std::uint32_t) { self->on_output(); });
    timer_ = context_.timers.at(context_.loop.now() + kCheckLimit, [self] {
      self->overdue_ = true;
      std::ignore = self->context_.children.send_signal(self->pid_, SIGKILL);
    });
    return {};
  }

  void fail_later(const base::Error& error) {
    context_.timers.at(context_.loop.now(),
                       [self = shared_from_this(), error] { self->done_(tl::unexpected(error)); });
  }

 private:
  void on_output() {
    char buffer[4096];
    for (;;) {
      const ssize_t n = ::read(output_end_.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return context_.loop.unwatch(output_end_.get());
      const std::size_t room = kMaxOutput - output_.size();
      output_.append(buffer, std::min(room, static_cast<std::size_t>(n)));
    }
  }

  void on_exit(const os::ExitStatus& status) {
    on_output();
    context_.loop.unwatch(output_end_.get());
    context_.timers.cancel(timer_);
    const std::string text = trimmed(output_);
    if (overdue_) {
      return done_(base::fail(fmt::format("the new program gave no answer within {} and was killed",
                                          core::to_text(kCheckLimit))));
    }
    if (status.kind != os::ExitStatus::Kind::kExited || status.code != 0) {
      return done_(base::fail(fmt::format("the new program can't go on from here ({}): {}",
                                          core::to_string(to_core(status)), text)));
    }
    const std::size_t found = text.rfind(answer_ + ' ');
    if (found == std::string::npos) {
      return done_(base::fail(fmt::format(
          "{} ends without a word on whether it can go on from here, as no arbiterd of Corn does; "
          "is it another program?{}{}",
          program_, text.empty() ? "" : " It says: ", text)));
    }
    done_(text.substr(found + answer_.size() + 1));
  }

  ErrandContext context_;
  Done done_;
  std::string program_;
  std::string answer_;  // what a program begins its last line with that can go on
  pid_t pid_ = 0;
  base::UniqueFd output_end_;
  std::string output_;
  Timers::Id timer_{};
  bool overdue_ = false;
};

}  // namespace

base::Result<std::string> find_program(const StartedAs& started) {
  const std::string& name = started.program;
  if (name.find('/') != std::string::npos) {
    const std::string path = name.starts_with('/') ? name : started.working_directory + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    return base::fail_errno(path, errno);
  }
  std::string search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& entry : started.environment) {
    if (entry.starts_with("PATH=")) search = entry.substr(5);
  }
  for (std::size_t begin = 0; begin <= search.size();) {
    const std::size_t end = std::min(search.find(':', begin), search.size());
    const std::string path = search.substr(begin, end - begin) + "/" + name;
    if (path.starts_with('/') && ::access(path.c_str(), X_OK) == 0) return path;
    begin = end + 1;
  }
  return base::fail("there is no executable " + name + " on PATH (" + search + ")", ENOENT);
}

std::string mark_of_program(const StartedAs& started) {
  const auto program = find_program(started);
  struct stat status {};
  if (!program || ::stat(program->c_str(), &status) != 0) return {};
  return fmt::format("{}:{}:{}:{}.{:09}", status.st_dev, status.st_ino, status.st_size,
                     status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

void check_upgrade(const ErrandContext& context, const StartedAs& started,
                   const InstanceState& state,
                   std::function<void(base::Result<std::string>)> done) {
  const auto check = std::make_shared<Check>(context, std::move(done));
  if (auto begun = check->start(started, state); !begun) check->fail_later(begun.error());
}

base::Error exec_upgrade(const StartedAs& started, const InstanceState& state,
                         const std::string& checked) {
  auto program = find_program(started);
  if (!program) return program.error();
  auto sealed = seal(state);
  if (!sealed) return sealed.error();
  std::vector<int> kept = descriptors_in(state);
  kept.insert(kept.end(), started.descriptors.begin(), started.descriptors.end());
  kept.push_back(sealed->get());

  std::vector<std::string> arguments{started.program};
  arguments.insert(arguments.end(), started.arguments.begin(), started.arguments.end());
  std::vector<std::string> environment = started.environment;
  environment.push_back(fmt::format("{}={}", kUpgradeVariable, sealed->get()));
  const std::vector<char*> argv = pointers_to(arguments);
  const std::vector<char*> envp = pointers_to(environment);

  char* before = ::get_current_dir_name();
  const auto go_back = [&](int error, const std::string& what) {
    for (const int descriptor : kept) ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    if (before != nullptr && ::chdir(before) != 0) {
      base::log_warning("cannot go back to {}: {}", before, std::strerror(errno));
    }
    std::free(before);
    return base::Error{error != 0 ? what + ": " + std::strerror(error) : what, error};
  };
  if (::chdir(started.working_directory.c_str()) != 0) {
    return go_back(errno, "chdir " + started.working_directory);
  }
  // Nothing but what is passed on: libraries don't always mark theirs.
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  for (const int descriptor : kept) ::fcntl(descriptor, F_SETFD, 0);
  // As late as can be: a package upgrade may be replacing files at this very moment.
  if (mark_of_program(started) != checked) {
    return go_back(0, *program + " is not the program that was checked; upgrade again");
  }
  ::execve(program->c_str(), argv.data(), envp.data());
  return go_back(errno, "exec " + *program);
}

}  // namespace corn::driver
