// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/event_stream.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "arbiterd/control/convert.h"
#include "arbiterd/control/subscription.h"

namespace corn::control {
namespace {

// Events on their way to one client, from the door to the transport, which takes some 64 KiB more.
constexpr std::size_t kMostPending = 512;

// One client's place in the history. Belongs to its call; queue thread only, but for pending_.
class EventStream : public std::enable_shared_from_this<EventStream> {
 public:
  explicit EventStream(EventCall& call)
      : call_(call),
        began_(std::chrono::system_clock::now()),
        last_sequence_(call.request().after_sequence()) {}

  void subscribe();
  void written() {
    pending_->fetch_sub(1);
    resume_if_drained();
  }

 private:
  void deliver(const driver::HistoryEvent& event);
  void overflowed(bool history);
  void ended(core::ReplyCode code, const std::string& text);
  void resume_if_drained();

  EventCall& call_;
  const driver::WallTime began_;
  // Shared with the door's callback, which counts up before it posts.
  const std::shared_ptr<std::atomic<std::size_t>> pending_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  DoorSubscription subscription_;
  std::uint64_t last_sequence_;
  std::uint64_t sent_ = 0;
  bool behind_ = false;  // no subscription until what is pending has gone out
};

void EventStream::subscribe() {
  driver::Subscription subscription;
  subscription.after_sequence = last_sequence_;
  subscription.follow = call_.request().follow();
  subscription.deliver = [weak = weak_from_this(), mailbox = call_.board().mailbox,
                          pending = pending_, began = began_](const driver::HistoryEvent& event) {
    if (pending->load() >= kMostPending) {
      mailbox->post([weak, history = event.time < began] {
        if (const auto stream = weak.lock()) stream->overflowed(history);
      });
      return false;
    }
    pending->fetch_add(1);
    mailbox->post([weak, event] {
      if (const auto stream = weak.lock()) stream->deliver(event);
    });
    return true;
  };
  subscription.ended = [weak = weak_from_this(), mailbox = call_.board().mailbox](
                           core::ReplyCode code, const std::string& text) {
    mailbox->post([weak, code, text] {
      if (const auto stream = weak.lock()) stream->ended(code, text);
    });
  };
  if (!subscription_.open(call_.board().door, std::move(subscription))) call_.refuse(queue_full());
}

void EventStream::deliver(const driver::HistoryEvent& event) {
  last_sequence_ = event.sequence;
  const v1::WatchEventsRequest& request = call_.request();
  const bool wanted =
      request.pool().empty() || event.record.pool.empty() || event.record.pool == request.pool();
  const bool full = request.limit() != 0 && sent_ == request.limit();
  if (!wanted || full) {
    pending_->fetch_sub(1);
    return;
  }
  ++sent_;
  call_.send(to_message(event));
  if (sent_ == request.limit()) {
    subscription_.close();
    call_.end(grpc::Status::OK);
  }
}

void EventStream::overflowed(bool history) {
  subscription_.close();
  if (history) {
    behind_ = true;
    resume_if_drained();
    return;
  }
  call_.refuse({grpc::StatusCode::RESOURCE_EXHAUSTED,
                "events come faster than they are read; watch again after sequence number " +
                    std::to_string(last_sequence_),
                "SLOW_SUBSCRIBER"});
}

void EventStream::ended(core::ReplyCode code, const std::string& text) {
  switch (code) {
    case core::ReplyCode::kDone:
      call_.end(grpc::Status::OK);
      break;
    case core::ReplyCode::kUnavailable:
      call_.refuse(refusal_of({code, text, 0, 0}));
      break;
    case core::ReplyCode::kAborted:
      return;  // for its refusing an event, which overflowed() has seen to
    case core::ReplyCode::kInvalidArgument:
    case core::ReplyCode::kNotFound:
    case core::ReplyCode::kFailedPrecondition:
      call_.refuse({grpc::StatusCode::OUT_OF_RANGE, text, "COMPACTED"});
      break;
  }
  subscription_.close();
}

void EventStream::resume_if_drained() {
  if (!behind_ || pending_->load() != 0) return;
  behind_ = false;
  subscribe();
}

}  // namespace

void watch_events(const EventCall::Pointer& call) {
  const auto stream = std::make_shared<EventStream>(*call);
  call->keep(stream);
  call->on_written([stream = stream.get()] { stream->written(); });
  stream->subscribe();
}

}  // namespace corn::control
