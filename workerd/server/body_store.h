// SPDX-License-Identifier: Apache-2.0
// A request's decoded body on its way from the loop to the application. Up to a limit it lies in
// memory; what is beyond goes to a file without a name, which ends with the request. A body that
// lies whole in the connection's input buffer is only referred to.
//
// The loop's owner writes, the application's thread reads, a mutex stands between them; it is
// contended only while a body arrives during its request.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "workerd/http/error.h"
#include "workerd/server/waiter.h"

namespace corn::server {

// Constant while the worker lives.
struct BodyStoreOptions {
  std::uint64_t memory_bytes = 1U << 20U;  // of one body
  std::uint64_t spill_bytes = 64U << 20U;  // of one body held at once, memory and file together
  std::string directory;                   // where spilled bodies lie

  static constexpr std::uint64_t kSpillFactor = 64;
};

class BodyStore {
 public:
  explicit BodyStore(const BodyStoreOptions& options) : options_(&options) {}
  BodyStore(const BodyStore&) = delete;
  BodyStore& operator=(const BodyStore&) = delete;

  // ---- the loop's owner, no request inside the application ----

  // No body, and none to come: what a new store is too.
  void reset();
  // After reset(): a body will come.
  void begin();
  // The whole body, which stays where it is until reset().
  void set_whole(std::string_view body);
  // Memory for up to `wish` of the next bytes, to be followed by commit(): spares a copy. Empty
  // when they have to be appended.
  std::span<char> room(std::size_t wish);
  void commit(std::size_t size);

  // ---- the loop's owner, at any time ----

  // Fails when the file can't be made or written.
  base::Status append(std::string_view bytes);
  // Every byte has come.
  void complete();
  // The rest will not come; reads fail with the problem's reason, and os_errno.
  void break_off(http::ProtocolError problem, int os_errno);
  // As much is held as may be: no more append() until drained. A reader that empties a full store
  // is told so.
  [[nodiscard]] bool full() const;
  [[nodiscard]] bool is_complete() const;
  // The rest will not come, and what came has been read.
  [[nodiscard]] bool is_broken() const;

  // ---- the application's thread ----

  struct Read {
    std::size_t size = 0;       // copied
    bool end = false;           // the body has ended, whole
    bool emptied_full = false;  // the loop may read on
  };
  // Copies what is there without waiting; neither bytes nor `end`: wait() first. Fails when the
  // body is broken.
  base::Result<Read> read(char* to, std::size_t size);
  // Returns when read() has something to say. False: `waiter` has broken the wait off.
  bool wait(Waiter& waiter);
  [[nodiscard]] bool readable() const;
  [[nodiscard]] std::uint64_t available() const;
  // Why the body is broken; null: it is not.
  [[nodiscard]] std::optional<http::ProtocolError> problem() const;

 private:
  [[nodiscard]] std::uint64_t unread() const { return written_ - read_; }
  bool grow(std::size_t size);
  base::Status spill(std::string_view bytes);
  void rewind();

  const BodyStoreOptions* options_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_. The body's bytes [0, memory_size_) lie in whole_ or memory_, those after in
  // file_.
  std::string_view whole_;
  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0;
  std::uint64_t memory_size_ = 0;
  base::UniqueFd file_;
  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;
  bool complete_ = true;
  bool broken_ = false;
  http::ProtocolError problem_;
  int os_errno_ = 0;
};

}  // namespace corn::server
