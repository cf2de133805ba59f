// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/runtime_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/unique_fd.h"

namespace corn::os {
namespace {

constexpr std::size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::size_t kHashDigits = 8;
// A hash, the dash before it, and enough of the name to be recognised.
constexpr std::size_t kShortestNameLimit = kHashDigits + 1 + 8;

std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  // The XDG base directory specification: a path that isn't absolute is to be ignored.
  if (const char* const base = ::getenv("XDG_RUNTIME_DIR"); base != nullptr && base[0] == '/') {
    paths.push_back(std::string(base) + "/corn");
  }
  if (::geteuid() == 0) paths.emplace_back("/run/corn");
  paths.push_back("/tmp/corn-" + std::to_string(::geteuid()));
  return paths;
}

bool gives_way(int error) {
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM || error == EROFS;
}

// FNV-1a (64 bits): the same in every build, unlike std::hash. It tells names apart, no more.
std::uint64_t hash(std::string_view text, std::uint64_t seed = 0xcbf29ce484222325) {
  for (const char byte : text) {
    seed = (seed ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  return seed;
}

std::string hash_text(std::uint64_t value) {
  std::array<char, kHashDigits + 1> text{};
  std::snprintf(text.data(), text.size(), "%08x",
                static_cast<unsigned>((value >> 32U) ^ (value & UINT32_MAX)));
  return text.data();
}

std::string escape(std::string_view name) {
  constexpr std::string_view kPlain = "_.:+@-";
  std::string escaped;
  for (const char byte : name) {
    const bool alphanumeric = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
                              (byte >= '0' && byte <= '9');
    const bool leading_dot = byte == '.' && escaped.empty();
    if ((alphanumeric || kPlain.find(byte) != std::string_view::npos) && !leading_dot) {
      escaped += byte;
      continue;
    }
    std::array<char, 4> code{};
    std::snprintf(code.data(), code.size(), "%%%02X",
                  static_cast<unsigned>(static_cast<unsigned char>(byte)));
    escaped += code.data();
  }
  return escaped;
}

base::Status check(const std::string& path, int fd, mode_t wanted_mode) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return base::fail_errno("cannot use the runtime directory " + path, errno);
  }
  if (status.st_uid != ::geteuid()) {
    return base::fail("cannot use the runtime directory " + path + ": it belongs to uid " +
                      std::to_string(status.st_uid) + ", not to uid " +
                      std::to_string(::geteuid()) +
                      "; have it removed, or set XDG_RUNTIME_DIR to a directory of your own");
  }
  const mode_t mode = status.st_mode & 07777U;
  if ((mode & 0066U) != 0) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode));
    return base::fail("cannot use the runtime directory " + path + ": its mode " + text.data() +
                      " lets other users read or write it; run: chmod go-rw " + path);
  }
  // What the umask took away at creation, or what an earlier run as another kind of user set.
  if (mode != wanted_mode && ::fchmod(fd, wanted_mode) != 0) {
    return base::fail_errno("change the mode of the runtime directory " + path, errno);
  }
  return {};
}

// nullopt: this place gives way to the next.
base::Result<std::optional<std::string>> prepare(const std::string& path, int& error) {
  const mode_t mode = ::geteuid() == 0 ? 0711 : 0700;
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    error = errno;
    if (gives_way(error)) return std::nullopt;
    return base::fail_errno("cannot create the runtime directory " + path, error);
  }
  const base::UniqueFd directory(
      ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) {
    if (errno == ENOTDIR || errno == ELOOP) {
      return base::fail("cannot use the runtime directory " + path +
                            ": something that is not a directory has that name; remove it",
                        errno);
    }
    return base::fail_errno("cannot open the runtime directory " + path, errno);
  }
  const base::Status status = check(path, directory.get(), mode);
  if (!status) return tl::unexpected(status.error());
  return path;
}

}  // namespace

base::Result<std::string> prepare_runtime_directory() {
  int error = 0;
  const std::vector<std::string> paths = candidates();
  for (const std::string& path : paths) {
    const base::Result<std::optional<std::string>> prepared = prepare(path, error);
    if (!prepared) return tl::unexpected(prepared.error());
    if (*prepared) return **prepared;
  }
  return base::fail_errno("cannot create the runtime directory " + paths.back() +
                              "; set XDG_RUNTIME_DIR to a writable directory",
                          error);
}

base::Result<std::string> instance_name(std::string_view name, std::string_view application,
                                        std::string_view working_directory,
                                        const std::vector<std::string>& listeners,
                                        std::string_view runtime_directory) {
  const std::size_t taken = runtime_directory.size() + 1 + kLongestSocketEnding;
  if (taken + kShortestNameLimit > kLongestSocketPath) {
    return base::fail(
        "the path of the runtime directory " + std::string(runtime_directory) +
        " is too long for sockets in it (" +
        std::to_string(kLongestSocketPath - kLongestSocketEnding - kShortestNameLimit - 1) +
        " bytes at most); set XDG_RUNTIME_DIR to a shorter one");
  }
  std::string whole = escape(name);
  if (name.empty()) {
    // Separated by NUL, which none of the parts contains.
    std::uint64_t place = hash(working_directory);
    for (const std::string& listener : listeners) {
      place = hash(listener, hash(std::string_view("\0", 1), place));
    }
    whole = escape(application) + "-" + hash_text(place);
  }
  const std::size_t limit = kLongestSocketPath - taken;
  if (whole.size() <= limit) return whole;
  return whole.substr(0, limit - kHashDigits - 1) + "-" + hash_text(hash(whole));
}

}  // namespace corn::os
