// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/users.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>

namespace corn::os {
namespace {

struct User {
  uid_t uid = 0;
  std::string name;  // empty: not in the user database
};

// -1 as an id means "leave as it is" to the kernel, so it is not a valid one.
template <typename Id>
std::optional<Id> parse_id(std::string_view text) {
  Id id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (id == std::numeric_limits<Id>::max()) return std::nullopt;
  return id;
}

std::size_t first_buffer_size(int name) {
  const long size = ::sysconf(name);
  return size > 0 ? static_cast<std::size_t>(size) : 1024;
}

// Calls a getpw*_r or getgr*_r function with a buffer that grows until the entry fits. Returns the
// error number of the function; `found` is null when there is no such entry.
template <typename Entry, typename Lookup>
int look_up(int size_name, std::vector<char>& buffer, Entry*& found, Entry& entry, Lookup lookup) {
  buffer.resize(first_buffer_size(size_name));
  for (;;) {
    found = nullptr;
    const int error = lookup(&entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) continue;
    if (error != ERANGE) return error;
    buffer.resize(buffer.size() * 2);
  }
}

// "No such entry" comes as 0 or, from some name services, as one of these (getpwnam(3)).
bool means_absent(int error) {
  return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

base::Result<User> find_user(std::string_view text) {
  std::vector<char> buffer;
  passwd entry{};
  passwd* found = nullptr;
  const std::string name(text);
  const std::optional<uid_t> number = parse_id<uid_t>(text);
  const int error = look_up(_SC_GETPW_R_SIZE_MAX, buffer, found, entry,
                            [&](passwd* to, char* data, std::size_t size, passwd** result) {
                              return number ? ::getpwuid_r(*number, to, data, size, result)
                                            : ::getpwnam_r(name.c_str(), to, data, size, result);
                            });
  if (found != nullptr) return User{found->pw_uid, found->pw_name};
  if (!means_absent(error)) return base::fail_errno("look up user '" + name + "'", error);
  if (number) return User{*number, ""};
  return base::fail("no such user: '" + name +
                    "'; give a name from the user database (getent passwd) or a numeric uid");
}

base::Result<gid_t> find_group(std::string_view text) {
  if (const std::optional<gid_t> number = parse_id<gid_t>(text)) return *number;
  std::vector<char> buffer;
  group entry{};
  group* found = nullptr;
  const std::string name(text);
  const int error = look_up(_SC_GETGR_R_SIZE_MAX, buffer, found, entry,
                            [&](group* to, char* data, std::size_t size, group** result) {
                              return ::getgrnam_r(name.c_str(), to, data, size, result);
                            });
  if (found != nullptr) return found->gr_gid;
  if (!means_absent(error)) return base::fail_errno("look up group '" + name + "'", error);
  return base::fail("no such group: '" + name +
                    "'; give a name from the group database (getent group) or a numeric gid");
}

std::vector<gid_t> groups_of(const std::string& user_name, gid_t gid) {
  if (user_name.empty()) return {gid};
  std::vector<gid_t> groups(32);
  for (;;) {
    auto count = static_cast<int>(groups.size());
    if (::getgrouplist(user_name.c_str(), gid, groups.data(), &count) >= 0) {
      groups.resize(static_cast<std::size_t>(count));
      return groups;
    }
    groups.resize(std::max(static_cast<std::size_t>(count), groups.size() * 2));
  }
}

}  // namespace

base::Result<std::optional<Identity>> resolve_identity(std::string_view user,
                                                       std::string_view group) {
  Identity identity{::geteuid(), ::getegid(), {}, std::string(user), std::string(group)};
  std::string database_name;
  if (!user.empty()) {
    const base::Result<User> found = find_user(user);
    if (!found) return tl::unexpected(found.error());
    identity.uid = found->uid;
    database_name = found->name;
  } else if (const base::Result<User> own = find_user(std::to_string(identity.uid)); own) {
    database_name = own->name;
  }
  if (!group.empty()) {
    const base::Result<gid_t> found = find_group(group);
    if (!found) return tl::unexpected(found.error());
    identity.gid = *found;
  }
  if (identity.uid == ::geteuid() && identity.gid == ::getegid() && identity.uid == ::getuid() &&
      identity.gid == ::getgid()) {
    return std::nullopt;
  }
  identity.groups = groups_of(database_name, identity.gid);
  return identity;
}

base::Status give_file(int fd, const std::string& path, const Identity& identity) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return base::fail_errno("stat " + path, errno);
  if (!S_ISREG(status.st_mode)) return {};
  if (status.st_uid == identity.uid && status.st_gid == identity.gid) return {};
  if (::fchown(fd, identity.uid, identity.gid) != 0) {
    return base::fail_errno("give " + path + " to uid " + std::to_string(identity.uid) + ", gid " +
                                std::to_string(identity.gid),
                            errno);
  }
  return {};
}

}  // namespace corn::os
