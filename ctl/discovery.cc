// SPDX-License-Identifier: Apache-2.0
#include "ctl/discovery.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <thread>
#include <utility>

namespace corn::ctl {
namespace {

constexpr std::string_view kEnding = ".sock";

// A probe of an arbiter that doesn't even accept may take so long.
constexpr std::chrono::seconds kProbeLimit{2};

// How long an arbiter that lives is waited for that can't be reached. An upgrade in place has the
// new program read its settings before it opens the control socket.
constexpr std::chrono::milliseconds kChangeoverLimit{3000};
constexpr std::chrono::milliseconds kFirstPause{5};
constexpr std::chrono::milliseconds kLongestPause{100};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The errno of connecting to the path; 0: connected, `socket` is the connection.
int try_connect(const std::string& path, std::chrono::duration<double> limit,
                base::UniqueFd& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  // connect(2) waits while the listener's queue is full, for as long as SO_SNDTIMEO says (unix(7)).
  timeval wait{};
  wait.tv_sec = static_cast<time_t>(limit.count());
  wait.tv_usec = static_cast<suseconds_t>(std::fmod(limit.count(), 1.0) * 1e6);
  if (wait.tv_sec == 0 && wait.tv_usec == 0) wait.tv_usec = 1;  // zero means no limit
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno;
  }
  const int flags = ::fcntl(socket.get(), F_GETFL);
  return ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : errno;
}

// As arbiterd writes a name into a file's: bytes other than A-Z a-z 0-9 . _ : + @ - become %XX, a
// leading dot too.
std::string escaped(std::string_view name) {
  constexpr std::string_view kKept =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:+@-";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string result;
  for (const char byte : name) {
    if (kKept.find(byte) != std::string_view::npos && !(byte == '.' && result.empty())) {
      result += byte;
    } else {
      const auto value = static_cast<unsigned char>(byte);
      result += '%';
      result += kDigits[value >> 4U];
      result += kDigits[value & 15U];
    }
  }
  return result;
}

std::string list(const std::vector<Instance>& instances) {
  std::string text;
  for (const Instance& instance : instances) text += "\n  " + instance.name;
  return text;
}

// Whether a process holds an instance (RUNTIME_DIRECTORY/NAME.lock has its pid) whose control
// socket isn't in its place. Locking the file to find out could refuse an arbiter its start.
bool somebody_changes_over() {
  for (const std::string& directory : runtime_directories()) {
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), ::closedir);
    if (!listing) continue;
    while (const dirent* entry = ::readdir(listing.get())) {
      constexpr std::string_view kLock = ".lock";
      const std::string_view file = entry->d_name;
      if (!file.ends_with(kLock)) continue;
      const std::string stem =
          directory + "/" + std::string(file.substr(0, file.size() - kLock.size()));
      std::ifstream lock(stem + std::string(kLock));
      pid_t pid = 0;
      if (!(lock >> pid) || pid <= 0 || (::kill(pid, 0) != 0 && errno != EPERM)) continue;
      base::UniqueFd socket;
      const int error = try_connect(stem + std::string(kEnding), kProbeLimit, socket);
      if (error == ENOENT || error == ECONNREFUSED) return true;
    }
  }
  return false;
}

// Tries again while there is hope.
template <typename Attempt>
auto patiently(std::chrono::duration<double> limit, const Attempt& attempt) {
  using Clock = std::chrono::steady_clock;
  const auto deadline =
      Clock::now() + std::min<std::chrono::duration<double>>(limit, kChangeoverLimit);
  auto pause = kFirstPause;
  for (;;) {
    auto result = attempt();
    if (result || result.error().code != ExitCode::kNotReachable) return result;
    if (Clock::now() + pause >= deadline) return result;
    // The socket may have come since.
    if (!somebody_changes_over()) return attempt();
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

Expected<std::string> path_of_instance(const std::string& name) {
  const std::vector<Instance> running = running_instances();
  for (const std::string& candidate : {name, escaped(name)}) {
    const auto found = std::ranges::find(running, candidate, &Instance::name);
    if (found != running.end()) return found->path;
  }
  return fail(ExitCode::kNotReachable, "no instance '" + name + "' is running" +
                                           (running.empty() ? "" : "; these are:" + list(running)));
}

Expected<std::string> path_of_only_instance() {
  std::vector<Instance> running = running_instances();
  // Others' arbiters matter only where there is none of ours.
  if (std::ranges::any_of(running, &Instance::allowed)) {
    std::erase_if(running, [](const Instance& instance) { return !instance.allowed; });
  }
  if (running.size() == 1) return running.front().path;
  if (!running.empty()) {
    return fail(ExitCode::kUsage,
                "several instances are running; name one with -i NAME:" + list(running));
  }
  std::string looked;
  for (const std::string& directory : runtime_directories()) {
    looked += (looked.empty() ? " (looked in " : ", ") + directory;
  }
  return fail(ExitCode::kNotReachable, "no arbiter is running" +
                                           (looked.empty() ? looked : looked + ")") +
                                           "; one elsewhere is named with --control unix:PATH");
}

}  // namespace

std::vector<std::string> runtime_directories() {
  std::vector<std::string> candidates;
  if (const std::string directory = environment("XDG_RUNTIME_DIR"); !directory.empty()) {
    candidates.push_back(directory + "/corn");
  }
  candidates.emplace_back("/run/corn");
  candidates.push_back("/tmp/corn-" + std::to_string(::getuid()));

  std::vector<std::string> result;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const std::string& candidate : candidates) {
    struct stat status {};
    if (::stat(candidate.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    if (status.st_uid != ::getuid() && status.st_uid != 0) continue;
    if (seen.emplace(status.st_dev, status.st_ino).second) result.push_back(candidate);
  }
  return result;
}

std::vector<Instance> running_instances() {
  std::vector<Instance> result;
  for (const std::string& directory : runtime_directories()) {
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), ::closedir);
    if (!listing) continue;  // root's directory may be searched by others, not listed
    while (const dirent* entry = ::readdir(listing.get())) {
      const std::string_view file = entry->d_name;
      if (!file.ends_with(kEnding) || file.starts_with('.')) continue;
      Instance instance;
      instance.name = file.substr(0, file.size() - kEnding.size());
      instance.path = directory + "/" + std::string(file);
      base::UniqueFd socket;
      const int error = try_connect(instance.path, kProbeLimit, socket);
      // EAGAIN: its queue is full, so that it's there, if not well.
      instance.allowed = error == 0 || error == EAGAIN;
      if (instance.allowed || error == EACCES || error == EPERM) result.push_back(instance);
    }
  }
  std::ranges::sort(result, {}, [](const Instance& i) { return std::pair(i.name, i.path); });
  return result;
}

Expected<std::string> socket_path(std::string_view address) {
  constexpr std::string_view kScheme = "unix:";
  if (address.starts_with(kScheme)) {
    address.remove_prefix(kScheme.size());
    if (address.starts_with("//")) address.remove_prefix(2);
  } else if (address.find('/') == std::string_view::npos) {
    return fail(ExitCode::kUsage,
                "the address '" + std::string(address) +
                    "' is not a socket's: write unix:PATH (addresses of the form HOST:PORT are not "
                    "in this version of Corn yet)");
  }
  if (address.empty()) return fail(ExitCode::kUsage, "the address names no path: write unix:PATH");
  return std::string(address);
}

Expected<Connection> connect_to(const std::string& path, std::chrono::duration<double> limit) {
  Connection connection{{}, path};
  const int error = try_connect(path, limit, connection.socket);
  switch (error) {
    case 0:
      return connection;
    case EACCES:
    case EPERM:
      return fail(ExitCode::kNotAllowed, "not allowed to control the arbiter at " + path +
                                             "; only its own user and root may (try sudo)");
    case EAGAIN:
      return fail(ExitCode::kTimedOut, "the arbiter at " + path + " does not answer");
    case ENOENT:
      return fail(ExitCode::kNotReachable, "no arbiter is running at " + path +
                                               ": there is no such socket; cornctl ls shows "
                                               "which are");
    case ECONNREFUSED:
      return fail(ExitCode::kNotReachable,
                  "no arbiter is running at " + path +
                      ": its socket was left behind; cornctl ls shows which are");
    default:
      return fail(ExitCode::kNotReachable,
                  "cannot reach an arbiter at " + path + ": " + std::strerror(error));
  }
}

Expected<Connection> connect_patiently(const std::string& path,
                                       std::chrono::duration<double> limit) {
  return patiently(limit, [&] { return connect_to(path, limit); });
}

Expected<Connection> find_arbiter(const Session& session, std::chrono::duration<double> limit) {
  const auto path = [&]() -> Expected<std::string> {
    if (!session.control.empty()) return socket_path(session.control);
    if (!session.instance.empty()) return path_of_instance(session.instance);
    if (const std::string address = environment("CORN_CONTROL"); !address.empty()) {
      return socket_path(address);
    }
    return path_of_only_instance();
  };
  return patiently(limit, [&]() -> Expected<Connection> {
    const auto found = path();
    if (!found) return tl::unexpected(found.error());
    return connect_to(*found, limit);
  });
}

}  // namespace corn::ctl
