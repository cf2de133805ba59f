// SPDX-License-Identifier: Apache-2.0
// The event loop of a worker: one epoll descriptor, the connections, their deadlines. It belongs to
// one thread at a time, its owner (see leader_follower.h), and its state lies in the object, a
// half-used batch of events included, so that another thread can go on from any turn. It never
// calls the application: requests that may enter are taken by the owner with take_ready().
//
// Owner only, except where a function says otherwise. Destroyed when no thread is inside the
// application any more.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "workerd/server/acceptor.h"
#include "workerd/server/connection.h"
#include "workerd/server/hand_off.h"

namespace corn::server {

// How the worker class weighs in. Called by the owner.
class LoopPolicy {
 public:
  virtual ~LoopPolicy() = default;
  // Connections that may be accepted now without keeping them from an idle sibling. `waiting`:
  // whole requests in the loop's queue.
  [[nodiscard]] virtual std::size_t accept_capacity(std::size_t waiting) const = 0;
  // A connection is accepted together with its first request, which is begun before the next
  // connection is accepted: none then waits behind a request that hangs while a sibling is idle.
  [[nodiscard]] virtual bool takes_request_with_connection() const = 0;
  // A turn of the loop is a sign of life of the worker.
  [[nodiscard]] virtual bool turn_is_life() const = 0;
  // The application keeps the worker from serving a request that comes now; a sibling might.
  [[nodiscard]] virtual bool passes_requests_on() const = 0;
};

class Reactor {
 public:
  // `trusted`: whose forwarding headers are believed, `proxies`: who may send PROXY headers.
  Reactor(ConnectionCommons& commons, const TrustedPeers& trusted, const TrustedPeers& proxies,
          std::vector<base::UniqueFd> listeners, HandOffEnds hand_off, const LoopPolicy& policy);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  base::Status open();

  // One step: an event of the last batch, or work put off, or a wait for the next batch.
  void turn();

  // ---- the same for a foreign loop, which does the waiting ----
  // Becomes readable when collect() has something to take, post() and wake() included.
  [[nodiscard]] int descriptor() const { return epoll_.get(); }
  // Takes the next batch of events, whatever there is; never waits.
  void collect();
  // One event of the batch, or work put off. False: nothing is left to do before the next batch.
  bool step();
  // To be called before waiting: says what the wait is for, and for how long it may last at the
  // most (nothing: until descriptor() is readable).
  std::optional<base::Duration> rest();
  // How long that is now, when something was done since, between two turns.
  [[nodiscard]] std::optional<base::Duration> time_to_rest() const;

  // The next request that may enter the application, a whole one if there is any. Null: none now.
  Connection* take_ready(bool unfinished_too);
  [[nodiscard]] std::size_t waiting() const { return whole_.size(); }
  // The application has left the request of `connection`.
  void leave(Connection& connection);

  // Drained, quit, or put down: turn() has nothing more to do.
  [[nodiscard]] bool done() const;

  // See Server::on_close(). Before anything else.
  void on_close(std::function<void(bool)> tell) { on_close_ = std::move(tell); }

  // ---- any thread ----
  // See Server::drain().
  void drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last);
  // Gives up requests that entered the application at `newest` or before, and drains. `all_hang`:
  // nothing more gets into the application. See Server::end_overdue().
  void end_overdue(base::TimePoint newest, base::Milliseconds grace, bool all_hang,
                   std::function<void()> only_overdue_left);
  void quit();
  // Aborts every request and connection; returns when their clients have been answered, or after
  // `limit`. `summon` is called once the order is given, to bring an owner about.
  template <typename Summon>
  void abort(base::Milliseconds limit, Summon summon) {
    post({Letter::Kind::kAbort});
    summon();
    wait_for_abort(limit);
  }
  // All requests and connections are aborted. Owner only.
  [[nodiscard]] bool abort_over() const { return abort_over_; }
  void post_left(ConnectionId connection) { post({Letter::Kind::kLeft, connection}); }
  void post_body_emptied(ConnectionId connection) {
    post({Letter::Kind::kBodyEmptied, connection});
  }
  // Ends a wait for events.
  void wake();

 private:
  // Requests that enter between two looks at the sockets, so that one pipelining client can't keep
  // the others waiting.
  static constexpr int kTakenPerPoll = 16;

  struct Letter {
    enum class Kind : std::uint8_t { kLeft, kBodyEmptied, kDrain, kEndOverdue, kQuit, kAbort };
    Kind kind = Kind::kQuit;
    ConnectionId connection = 0;
    base::Milliseconds grace{0};
    bool empty_backlog = false;
    bool may_be_last = false;
    base::TimePoint newest = {};  // kEndOverdue
    bool all_hang = false;        // kEndOverdue
  };
  struct Place {
    std::unique_ptr<Connection> connection;
    std::uint32_t generation = 0;
  };

  void post(const Letter& letter);
  void read_mail();
  void handle_event(const epoll_event& event);
  // True: nobody is left waiting there.
  bool accept_from(std::size_t listener, std::size_t most);
  // Null: it can't be watched, and is closed. `start`: all but the peer's rights.
  Connection* add_connection(base::UniqueFd socket, const sockaddr_storage& peer,
                             ConnectionStart start);
  [[nodiscard]] bool watch(int socket, ConnectionId id) const;

  // ---- reactor_limit.cc: at worker_connections ----
  // Idle connections may be given up for newcomers after this time.
  static constexpr base::Duration kLeastIdle = std::chrono::seconds(1);
  Connection* longest_idle();
  // One that may be given up now, or null.
  Connection* replaceable();
  void replace(Connection& idle);
  void plan_room_check(bool at_limit);
  // What siblings have handed over is taken even now, newcomers for idle ones.
  void check_room();
  void look_for_newcomers();

  // ---- reactor_hand_off.cc ----
  // Takes up to `most` connections that siblings have handed over, while there is room, or however
  // many there are already. False: there was none.
  bool take_over(std::size_t most, bool beyond_limit = false);
  const base::ListenerInfo* listener_of(const HandOffTicket& ticket);
  // Hands the connection over. False: it stays, and in a drain is tried again.
  bool hand_over(Connection& connection);
  void hand_over_rest();
  [[nodiscard]] bool is_passing_on() const {
    return commons_.leaving.load(std::memory_order_relaxed) == Leaving::kPassingOn;
  }

  Connection* find(ConnectionId id);
  // Queues, puts off or removes a connection after it has been worked on.
  void settle(Connection& connection);
  void remove(Connection& connection);
  void publish_waiting();
  void expire();
  void run_deferred();
  void poll();
  void prepare_to_wait();
  void take_events(int timeout);
  [[nodiscard]] int poll_timeout() const;
  void beat();
  void start_drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last = false);
  void stop_accepting();
  void close_listeners(bool nobody_left);
  void empty_accept_queues();
  // ---- reactor_overdue.cc ----
  void start_ending_overdue(const Letter& order);
  void check_what_is_left();

  void start_abort();
  void check_abort();
  void cut();
  void wait_for_abort(base::Milliseconds limit);
  // `function` may end the connection it is given.
  template <typename Function>
  void for_each(Function function) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].connection) function(*places_[i].connection);
    }
  }

  ConnectionCommons& commons_;
  const TrustedPeers& trusted_;
  const TrustedPeers& proxies_;
  const LoopPolicy& policy_;
  base::UniqueFd epoll_;
  base::UniqueFd wake_;  // eventfd, never read: every write is an edge
  Acceptor acceptor_;
  HandOff hand_off_;
  // Those of connections handed over that this worker has no listener for: of an earlier
  // generation.
  std::deque<base::ListenerInfo> former_listeners_;
  // The queue was full: nothing is handed over before.
  std::optional<base::TimePoint> hand_off_retry_;
  // Since then, and nothing could be handed over meanwhile.
  std::optional<base::TimePoint> hand_off_full_since_;
  // Somebody waits to be accepted, of whom the kernel has told this worker only, and there was no
  // capacity; since the last wait.
  bool turned_away_ = false;
  // When to look whether somebody waits though this worker wasn't told: another one was, and was
  // stopped before it looked. No wait is made shorter for it.
  base::TimePoint next_look_;
  // At the limit of connections: when to look whether somebody waits to be accepted, or in the
  // hand-off queue.
  std::optional<base::TimePoint> room_check_;
  std::optional<base::TimePoint> last_room_complaint_;

  std::function<void(bool nobody_left)> on_close_;

  std::vector<Place> places_;
  std::vector<std::uint32_t> free_places_;
  std::size_t open_ = 0;

  std::array<epoll_event, 256> events_;
  std::size_t event_count_ = 0;
  std::size_t next_event_ = 0;
  bool tended_ = false;  // deadlines and deferred reads were seen to since the last batch
  int taken_since_poll_ = 0;
  std::deque<ConnectionId> whole_;
  std::deque<ConnectionId> unfinished_;
  std::vector<ConnectionId> deferred_;
  std::vector<ConnectionId> deferred_now_;

  base::TimePoint now_;
  base::TimePoint last_beat_;
  std::optional<base::TimePoint> grace_end_;
  bool emptying_ = false;  // accept queues, before their sockets are closed
  bool cut_ = false;
  bool quit_ = false;
  bool aborting_ = false;
  bool abort_over_ = false;
  bool ending_overdue_ = false;
  bool all_hang_ = false;

  std::atomic<bool> sleeping_{false};
  std::atomic<bool> has_mail_{false};
  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<Letter> mail_;
  std::vector<Letter> mail_read_;  // owner only: capacity kept
  bool abort_done_ = false;
  std::condition_variable aborted_;
  std::function<void()> only_overdue_left_;  // set once; called by the owner, without the mutex
};

}  // namespace corn::server
