// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/temporary_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace corn::server {

base::Result<base::UniqueFd> open_temporary_file(const std::string& directory,
                                                 const std::string& what) {
  base::UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  // Not every file system knows files that never had a name (open(2), O_TMPFILE).
  std::string path = directory + "/corn-XXXXXX";
  file.reset(::mkostemp(path.data(), O_CLOEXEC));
  if (!file) return base::fail_errno("cannot make a file for " + what + " in " + directory, errno);
  ::unlink(path.c_str());
  return file;
}

}  // namespace corn::server
