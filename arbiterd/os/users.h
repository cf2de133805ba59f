// SPDX-License-Identifier: Apache-2.0
// Users and groups that workers run as.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace corn::os {

// What a process is to become: ids, and the names they were asked for by (for error messages).
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary groups; they replace what the process has
  std::string user_name;
  std::string group_name;
  bool operator==(const Identity&) const = default;
};

// Resolves `user` and `group`, each a name or a number, "" for the process's own. The supplementary
// groups are those that the group database gives the user; a numeric user without an entry has none
// but `group`. A user without a `group` keeps the process's own group, as in gunicorn. Returns
// nullopt when the process is that user and group already, so that nothing has to change. May block
// on the name service (LDAP and the like): call it while reading settings.
base::Result<std::optional<Identity>> resolve_identity(std::string_view user,
                                                       std::string_view group);

// Gives the open file `fd` (named `path` in errors) to `identity`, so that workers which drop
// privileges can reopen it. What isn't a regular file (a terminal, /dev/null) is left as it is.
base::Status give_file(int fd, const std::string& path, const Identity& identity);

}  // namespace corn::os
