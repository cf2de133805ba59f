// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/health_service.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "arbiterd/control/subscription.h"

namespace corn::control {
namespace {

namespace health = ::grpc::health::v1;

using CheckCall = UnaryCall<health::HealthCheckRequest, health::HealthCheckResponse>;
using WatchCall = StreamCall<health::HealthCheckRequest, health::HealthCheckResponse>;
using ServingStatus = health::HealthCheckResponse::ServingStatus;

// Messages under way to a client that watches; changes that come while it doesn't read become one.
constexpr std::size_t kMostPending = 1;

// What the instance, or one pool, is like. SERVICE_UNKNOWN: there is no such pool.
ServingStatus status_of(const driver::StatusSnapshot& snapshot, const std::string& service) {
  const auto serves = [](const driver::PoolStatus& pool) { return pool.ready > 0; };
  const auto shown = [](bool serving) {
    return serving ? health::HealthCheckResponse::SERVING
                   : health::HealthCheckResponse::NOT_SERVING;
  };
  const bool stopping = snapshot.arbiter.state == "STOPPING";
  if (service.empty()) {
    return shown(!stopping && std::ranges::all_of(snapshot.pools, serves));
  }
  const auto pool = std::ranges::find(snapshot.pools, service, &driver::PoolStatus::name);
  if (pool == snapshot.pools.end()) return health::HealthCheckResponse::SERVICE_UNKNOWN;
  return shown(!stopping && serves(*pool));
}

void answer_check(const CheckCall::Pointer& call, const std::string& service,
                  ServingStatus status) {
  if (status == health::HealthCheckResponse::SERVICE_UNKNOWN) {
    call->refuse({grpc::StatusCode::NOT_FOUND, "there is no pool '" + service + "'", {}});
    return;
  }
  health::HealthCheckResponse response;
  response.set_status(status);
  call->finish(response);
}

void check(const CheckCall::Pointer& call) {
  const bool taken = call->board().door.get_status(
      [weak = std::weak_ptr(call), mailbox = call->board().mailbox,
       service = call->request().service()](const driver::StatusSnapshot& snapshot) {
        mailbox->post([weak, service, status = status_of(snapshot, service)] {
          if (const auto waiting = weak.lock()) answer_check(waiting, service, status);
        });
      });
  if (!taken) call->refuse(queue_full());
}

// Asks for the status whenever something has happened, and tells the client what has changed.
// Belongs to its call; queue thread only, but for happened_.
class HealthWatch : public std::enable_shared_from_this<HealthWatch> {
 public:
  explicit HealthWatch(WatchCall& call) : call_(call) {}

  void start();
  void written() {
    if (std::exchange(unasked_, false)) ask();
  }

 private:
  void ask();
  void answered(ServingStatus status);

  WatchCall& call_;
  // Set by the door's callback when it has posted that something happened; cleared when that is
  // seen to.
  const std::shared_ptr<std::atomic<bool>> happened_ = std::make_shared<std::atomic<bool>>(false);
  DoorSubscription subscription_;
  std::optional<ServingStatus> told_;
  bool asking_ = false;
  bool unasked_ = false;  // something has happened since the status was asked for
};

void HealthWatch::start() {
  driver::Subscription subscription;
  subscription.deliver = [weak = weak_from_this(), mailbox = call_.board().mailbox,
                          happened = happened_](const driver::HistoryEvent&) {
    if (happened->exchange(true)) return true;
    mailbox->post([weak, happened] {
      happened->store(false);
      if (const auto watch = weak.lock()) watch->ask();
    });
    return true;
  };
  subscription.ended = [weak = weak_from_this(), mailbox = call_.board().mailbox](
                           core::ReplyCode code, const std::string& text) {
    mailbox->post([weak, code, text] {
      if (const auto watch = weak.lock()) watch->call_.refuse(refusal_of({code, text, 0, 0}));
    });
  };
  if (!subscription_.open(call_.board().door, std::move(subscription))) {
    call_.refuse(queue_full());
    return;
  }
  ask();
}

void HealthWatch::ask() {
  if (asking_ || call_.pending() >= kMostPending) {
    unasked_ = true;
    return;
  }
  asking_ = call_.board().door.get_status(
      [weak = weak_from_this(), mailbox = call_.board().mailbox,
       service = call_.request().service()](const driver::StatusSnapshot& snapshot) {
        mailbox->post([weak, status = status_of(snapshot, service)] {
          if (const auto watch = weak.lock()) watch->answered(status);
        });
      });
  if (!asking_) call_.refuse(queue_full());
}

void HealthWatch::answered(ServingStatus status) {
  asking_ = false;
  if (std::exchange(told_, status) != status) {
    health::HealthCheckResponse response;
    response.set_status(status);
    call_.send(std::move(response));
  }
  if (std::exchange(unasked_, false)) ask();
}

void watch(const WatchCall::Pointer& call) {
  const auto health_watch = std::make_shared<HealthWatch>(*call);
  call->keep(health_watch);
  call->on_written([health_watch = health_watch.get()] { health_watch->written(); });
  health_watch->start();
}

}  // namespace

void HealthService::serve(Switchboard& board) {
  CheckCall::serve(
      board, [this](auto*... pointers) { service_.RequestCheck(pointers...); }, check);
  WatchCall::serve(
      board, [this](auto*... pointers) { service_.RequestWatch(pointers...); }, watch);
}

}  // namespace corn::control
