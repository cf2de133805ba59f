// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/overflow_file.h"

#include <sys/sendfile.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "base/log.h"
#include "workerd/server/temporary_file.h"

namespace corn::server {
namespace {

constexpr base::Duration kComplaintInterval = std::chrono::seconds(60);

// At most once in a while for the whole worker: a full disk meets every slow client.
void complain(const std::string& what) {
  static std::atomic<base::Duration::rep> next{0};
  const base::Duration now = base::MonotonicClock().now().time_since_epoch();
  auto due = next.load();
  if (now.count() < due || !next.compare_exchange_strong(due, (now + kComplaintInterval).count())) {
    return;
  }
  base::log_warning("{}; the application waits for slow clients meanwhile", what);
}

}  // namespace

std::uint64_t OverflowFile::room() {
  if (directory_.empty() || written_ >= kMostBytes) return 0;
  if (!file_) {
    auto opened = open_temporary_file(directory_, "an answer that its client is slow to take");
    if (!opened) {
      complain(opened.error().message);
      return 0;
    }
    file_ = std::move(*opened);
  }
  return kMostBytes - written_;
}

std::size_t OverflowFile::write(std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::string_view rest = bytes.substr(done);
    const ssize_t size =
        ::pwrite(file_.get(), rest.data(), rest.size(), static_cast<off_t>(written_ + done));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      complain("cannot store an answer in " + directory_ + ": " + std::strerror(errno));
      break;
    }
    done += static_cast<std::size_t>(size);
  }
  return done;
}

ssize_t OverflowFile::send_to(int socket) {
  auto offset = static_cast<off_t>(sent_);
  const ssize_t size =
      ::sendfile(socket, file_.get(), &offset, static_cast<std::size_t>(written_ - sent_));
  if (size > 0) sent_ += static_cast<std::uint64_t>(size);
  return size;
}

void OverflowFile::clear() {
  file_.reset();
  written_ = sent_ = 0;
}

}  // namespace corn::server
