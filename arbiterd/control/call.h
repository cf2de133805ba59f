// SPDX-License-Identifier: Apache-2.0
// A call that a client has open. Everything here belongs to the queue's thread; a door's callback,
// which runs on the loop thread, keeps a weak pointer to its call and posts what it has to say.
//
// The life of a call: request() offers it to gRPC, which fills it in when a client calls, and
// completes `started`; the next one of its kind is offered, the caller is checked, and the
// service's handler gets it. It is among the open calls until gRPC completes `closed`, which it
// does once when the call has been answered, or when the client has cancelled it, gone away, or its
// deadline has passed. Then nobody keeps it.
#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/codegen/proto_utils.h>  // messages are protobuf's
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "arbiterd/control/mailbox.h"
#include "arbiterd/control/peers.h"
#include "arbiterd/control/refusal.h"
#include "arbiterd/control/tag.h"
#include "arbiterd/driver/door/door.h"

namespace corn::control {

class Call;

// What calls share. Lives until the queue is drained. Queue thread only, except for what is
// thread-safe by itself.
struct Switchboard {
  Switchboard(driver::Door& to, std::shared_ptr<Mailbox> answers,
              grpc::ServerCompletionQueue& calls, uid_t allowed)
      : door(to), mailbox(std::move(answers)), queue(calls), allowed_uid(allowed) {}

  driver::Door& door;  // thread-safe
  std::shared_ptr<Mailbox>
      mailbox;  // thread-safe; door callbacks keep it, and may outlive the rest
  grpc::ServerCompletionQueue& queue;
  uid_t allowed_uid = 0;
  Peers peers;
  std::set<std::shared_ptr<Call>> open;
  bool stopping = false;   // calls are refused
  bool upgrading = false;  // stopping, for another program to go on
  bool drained = false;  // the queue is shut down: what it still hands back must start nothing new
};

// As many as a fleet of dashboards may need; a call costs some kilobytes.
inline constexpr std::size_t kMostOpenCalls = 256;

class Call : public std::enable_shared_from_this<Call> {
 public:
  explicit Call(Switchboard& board);
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Ends the call; does nothing if it has been answered or is gone.
  virtual void refuse(const Refusal& refusal) = 0;

  [[nodiscard]] Switchboard& board() { return board_; }

 protected:
  // To be called by request(): `offer` passes context and tag to the service's Request... function.
  // `begun` runs when a client has called; `offer_next` offers the next call of the kind.
  template <typename Offer>
  void request(const Offer& offer, std::function<void()> offer_next, std::function<void()> begun) {
    offer_next_ = std::move(offer_next);
    begun_ = std::move(begun);
    context_.AsyncNotifyWhenDone(&closed_tag_);
    offer(&context_, started_tag_.arm(shared_from_this()));
  }

  [[nodiscard]] grpc::ServerContext& context() { return context_; }
  // The client can't be told anything any more.
  [[nodiscard]] bool closed() const { return closed_ || board_.drained; }

 private:
  void started(bool ok);
  void closed_by_grpc();
  [[nodiscard]] std::optional<Refusal> objection();

  Switchboard& board_;
  grpc::ServerContext context_;
  Tag started_tag_;
  Tag closed_tag_;
  std::function<void()> offer_next_;
  std::function<void()> begun_;
  bool closed_ = false;
};

// One request, one answer.
template <typename Request, typename Response>
class UnaryCall final : public Call {
 public:
  using Pointer = std::shared_ptr<UnaryCall>;
  // Asks gRPC for the next call: one of AsyncService's Request... functions.
  using Offer =
      std::function<void(grpc::ServerContext*, Request*, grpc::ServerAsyncResponseWriter<Response>*,
                         grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void* tag)>;
  // Answers the call with finish() or refuse(), now or later.
  using Handler = std::function<void(const Pointer&)>;

  explicit UnaryCall(Switchboard& board)
      : Call(board), responder_(&context()), finished_tag_([](bool) {}) {}

  // Offers one call after the other.
  static void serve(Switchboard& board, const Offer& offer, const Handler& handler) {
    const auto call = std::make_shared<UnaryCall>(board);
    call->request(
        [&](grpc::ServerContext* context, void* tag) {
          offer(context, &call->request_, &call->responder_, &board.queue, &board.queue, tag);
        },
        [&board, offer, handler] { serve(board, offer, handler); },
        [call = call.get(), handler] {
          handler(std::static_pointer_cast<UnaryCall>(call->shared_from_this()));
        });
  }

  [[nodiscard]] const Request& request() const { return request_; }

  // The first answer counts.
  void finish(const Response& response) {
    if (answered()) return;
    responder_.Finish(response, grpc::Status::OK, finished_tag_.arm(shared_from_this()));
  }
  void refuse(const Refusal& refusal) override {
    if (answered()) return;
    responder_.FinishWithError(to_status(refusal, context()),
                               finished_tag_.arm(shared_from_this()));
  }

 private:
  using Call::request;
  bool answered() { return closed() || std::exchange(answered_, true); }

  Request request_;
  grpc::ServerAsyncResponseWriter<Response> responder_;
  Tag finished_tag_;
  bool answered_ = false;
};

// One request, any number of answers.
template <typename Request, typename Response>
class StreamCall final : public Call {
 public:
  using Pointer = std::shared_ptr<StreamCall>;
  using Offer =
      std::function<void(grpc::ServerContext*, Request*, grpc::ServerAsyncWriter<Response>*,
                         grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void* tag)>;
  using Handler = std::function<void(const Pointer&)>;

  explicit StreamCall(Switchboard& board)
      : Call(board),
        writer_(&context()),
        written_tag_([this](bool ok) { written(ok); }),
        finished_tag_([](bool) {}) {}

  static void serve(Switchboard& board, const Offer& offer, const Handler& handler) {
    const auto call = std::make_shared<StreamCall>(board);
    call->request(
        [&](grpc::ServerContext* context, void* tag) {
          offer(context, &call->request_, &call->writer_, &board.queue, &board.queue, tag);
        },
        [&board, offer, handler] { serve(board, offer, handler); },
        [call = call.get(), handler] {
          handler(std::static_pointer_cast<StreamCall>(call->shared_from_this()));
        });
  }

  [[nodiscard]] const Request& request() const { return request_; }

  // Queues a message; whoever sends limits how many, by `on_written`.
  void send(Response response) {
    if (closed() || end_) return;
    outgoing_.push_back(std::move(response));
    pump();
  }
  // Ends the stream after what has been queued. The first end counts.
  void end(grpc::Status status) {
    if (closed() || end_) return;
    end_ = std::move(status);
    pump();
  }
  void refuse(const Refusal& refusal) override {
    if (closed() || end_) return;
    end(to_status(refusal, context()));
  }

  // Messages queued or being written.
  [[nodiscard]] std::size_t pending() const { return outgoing_.size(); }
  // Called after each message that has gone out to the transport, or was dropped with the call.
  void on_written(std::function<void()> callback) { on_written_ = std::move(callback); }

  // Lives as long as the call does; a place for what belongs to it.
  void keep(std::shared_ptr<void> attachment) { attachment_ = std::move(attachment); }

 private:
  using Call::request;

  void pump() {
    if (writing_ || finishing_) return;
    if (!outgoing_.empty()) {
      writing_ = true;
      writer_.Write(outgoing_.front(), written_tag_.arm(shared_from_this()));
    } else if (end_) {
      finishing_ = true;
      writer_.Finish(*end_, finished_tag_.arm(shared_from_this()));
    }
  }

  void written(bool ok) {
    writing_ = false;
    outgoing_.pop_front();
    if (!ok) outgoing_.clear();  // the client is gone; `closed` comes, or has come
    if (on_written_) on_written_();
    if (ok && !closed()) pump();
  }

  Request request_;
  grpc::ServerAsyncWriter<Response> writer_;
  Tag written_tag_;
  Tag finished_tag_;
  std::deque<Response> outgoing_;  // the front one is being written while writing_
  std::optional<grpc::Status> end_;
  std::function<void()> on_written_;
  std::shared_ptr<void> attachment_;
  bool writing_ = false;
  bool finishing_ = false;
};

}  // namespace corn::control
