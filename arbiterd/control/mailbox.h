// SPDX-License-Identifier: Apache-2.0
// The way back from the door: other threads post work to the one that serves the completion queue.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <deque>
#include <functional>
#include <mutex>

#include "arbiterd/control/tag.h"

namespace corn::control {

// Thread-safe. Work runs in the order posted, on the queue's thread. It has no limit of its own:
// each poster has one (a call is answered once, a stream counts what it has under way, the acceptor
// counts its connections), and open calls are limited.
class Mailbox {
 public:
  explicit Mailbox(grpc::CompletionQueue& queue);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Does nothing once closed.
  void post(std::function<void()> work);

  // Posts `work` and takes nothing more: whatever runs last may shut the completion queue down,
  // which must not be given anything after that.
  void post_last(std::function<void()> work);

 private:
  void run_posted();
  void add(std::function<void()> work);  // with mutex_ held

  grpc::CompletionQueue& queue_;
  Tag woken_;  // constant after construction

  std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> posted_;
  bool alarm_set_ = false;
  bool closed_ = false;
  grpc::Alarm alarm_;  // set at most once at a time; its tag comes back through the queue
};

}  // namespace corn::control
