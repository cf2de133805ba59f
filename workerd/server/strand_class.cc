// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/strand_class.h"

#include <chrono>
#include <limits>
#include <string_view>
#include <utility>

namespace corn::server {

// One request inside, and the strand it is on.
class StrandClass::Call final : public app::StrandTask,
                                private ExchangeHost,
                                private InsideWatcher {
 public:
  Call(StrandClass& owner, base::Slot& slot)
      : owner_(owner), exchange_(owner.application_, slot, *this) {}

  // Takes the connection's request, which is inside.
  void begin(Connection& connection) {
    connection_ = &connection;
    guest_.method = connection.head().method;
    guest_.target = connection.head().target;
    guest_.started = std::chrono::steady_clock::now();
    exchange_.begin(connection);
    connection.begin(guest_.started);
    connection.set_watcher(this);
  }

  void run() override {
    exchange_.answer();
    owner_.leave_call(*this);
  }

  // Accounts for the request; answers whether it counts as an error.
  bool end(base::TimePoint now) {
    exchange_.end(guest_.started, now);
    return exchange_.failed();
  }

  [[nodiscard]] Connection& of() { return *connection_; }
  [[nodiscard]] SlotDesk::Guest& guest() { return guest_; }

 private:
  // ExchangeHost
  void progressed() override {}
  void before_wait() override {}
  void after_wait() override {}
  void body_emptied(ConnectionId connection) override {
    owner_.reactor().post_body_emptied(connection);
  }
  // Whatever is waited for comes by the loop, a client's stalling (kSend) included.
  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& /*changed*/,
            std::optional<base::TimePoint> /*end*/) override {
    lock.unlock();
    {
      const Hold hold(owner_);
      connection_->watch_sending(std::chrono::steady_clock::now());
      owner_.plan_turn();
    }
    const bool kept = owner_.strands_.pause(*this);
    lock.lock();
    return kept;
  }

  // InsideWatcher
  void on_change() override {
    if (!owner_.rescued()) owner_.strands_.wake(*this);
  }
  void on_drain() override {}
  // Of connections that have switched to another protocol: there are none.
  void on_bytes(std::string_view /*bytes*/) override {}
  [[nodiscard]] bool wants_bytes() const override { return false; }
  void on_timer(TimeoutKind /*kind*/, base::TimePoint /*now*/) override {}

  StrandClass& owner_;
  Exchange exchange_;
  SlotDesk::Guest guest_;
  Connection* connection_ = nullptr;
};

StrandClass::StrandClass(app::Strands& strands, base::ScoreboardMap& scoreboard,
                         app::Application& application, AnsweredCallback answered)
    : LoopClass(strands),
      strands_(strands),
      scoreboard_(scoreboard),
      application_(application),
      answered_(std::move(answered)),
      desk_(scoreboard) {}

StrandClass::~StrandClass() = default;

void StrandClass::run(Reactor& reactor) {
  desk_.open();
  LoopClass::run(reactor);
}

// Every connection has one request inside at the most, and their number is limited.
std::size_t StrandClass::entry_capacity() const { return std::numeric_limits<std::size_t>::max(); }

void StrandClass::enter(Connection& connection) {
  if (idle_.empty()) {
    calls_.push_back(std::make_unique<Call>(*this, scoreboard_.slot(0)));
    idle_.push_back(calls_.back().get());
  }
  Call& call = *idle_.back();
  idle_.pop_back();
  call.begin(connection);
  desk_.enter(call.guest());
  strands_.start(call);
}

void StrandClass::leave_call(Call& call) {
  const Hold hold(*this);
  const auto now = std::chrono::steady_clock::now();
  const bool error = call.end(now);
  desk_.leave(call.guest(), now, error);
  idle_.push_back(&call);
  answered_();
  leave(call.of());
}

}  // namespace corn::server
