// SPDX-License-Identifier: Apache-2.0
// One client connection: what it is doing, what it waits for, and for how long.
//
//         accepted
//            v              first byte            head whole, body not
//   +-----> kIdle ----------------------> kHead ----------------------> kBody
//   |         |                             | whole                       | body whole
//   |         +-----------------------------+-------> kWaiting <----------+
//   |           a whole request in one read              |                | enter() before that:
//   |                                                    | enter()        | Expect, 500 ms, or
//   |                                                    v                | the store is full
//   |                                                 kInside <-----------+
//   |                                                    | leave(): answered
//   |    kDiscard: body not read to its end <------------+------> kFlush: client still
//   |        |                                           |          |     takes the answer
//   +--------+---------------- keep-alive ---------------+----------+
//                                                        |
//                             kClosed <---- kLinger <----+ last request
//
// Any state before kInside goes to kFlush/kLinger with an answer of the engine's own when the
// request is wrong or late, and to kClosed when the client goes away without one. kLinger: our side
// is shut down, what the client still sends is read and dropped, so that no reset destroys the
// answer on its way (RFC 9112 section 9.6). A request inside the application keeps its connection:
// the client's end is noted and takes effect in leave().
//
// Registered once with epoll, edge-triggered, for both directions. So an event is remembered
// (input_ready_) until the state wants it, and reading goes on until the socket is empty; a read
// that fills less than it was given room for has emptied it (epoll(7)).
//
// Between kIdle and the first byte of a request a connection may leave for another worker
// (hand_off.h).
//
// All functions belong to the loop's owner. body(), transmitter(), head() and the like are used by
// the application's thread between enter() and leave() as their types say.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/app/application.h"
#include "workerd/http/body_decoder.h"
#include "workerd/http/date.h"
#include "workerd/http/head_scanner.h"
#include "workerd/http/limits.h"
#include "workerd/http/request_head.h"
#include "workerd/server/access_log.h"
#include "workerd/server/body_store.h"
#include "workerd/server/forwarded.h"
#include "workerd/server/hand_off.h"
#include "workerd/server/input_buffer.h"
#include "workerd/server/timeouts.h"
#include "workerd/server/transmitter.h"

namespace corn::server {

// Position in the loop's table and a number that tells successive users of the position apart.
using ConnectionId = std::uint64_t;

// What becomes of the connections of a worker that is to go. Later ones overrule earlier ones.
enum class Leaving : std::uint8_t {
  kNo,         // it stays
  kPassingOn,  // they go on with another worker of the pool as soon as they are idle
  kClosing,    // they end with their next answer, or when their idle time is over
  kHurrying,   // nobody is left to serve the next connection: the same, and idle ones end soon
};

// What the connections of one worker have in common. Owned by the loop, outlives them.
struct ConnectionCommons {
  const base::WorkerConfig& config;
  const http::ParserOptions& parser;
  const BodyStoreOptions& body_store;
  const ForwardedScheme& forwarded_scheme;
  base::Scoreboard& scoreboard;
  AccessLog& access_log;
  bool enter_with_head = false;  // requests enter the application when their head is there
  BufferPool buffers{};          // loop's owner
  Timeouts timeouts{};           // loop's owner
  http::DateCache date{};        // loop's owner
  std::atomic<Leaving> leaving{Leaving::kNo};  // set by the loop's owner

  // Passing on, and nobody takes what is passed on. Set by the loop's owner.
  std::atomic<bool> stalled{false};

  // Connections end with their next answer. Any thread.
  [[nodiscard]] bool closing() const {
    return leaving.load(std::memory_order_relaxed) >= Leaving::kClosing;
  }
  // The same of answers that are begun now: they say `Connection: close`. Any thread.
  [[nodiscard]] bool answers_close() const {
    return closing() || stalled.load(std::memory_order_relaxed);
  }
};

// What a peer may say of itself and of others.
struct PeerRights {
  http::PeerTrust forwarding = http::PeerTrust::kUntrusted;  // in forwarded_allow_ips
  bool proxy_header = false;                                 // in proxy_allow_ips
};

// Where a connection begins, or goes on from where another worker left it.
struct ConnectionStart {
  app::ConnectionInfo info;
  PeerRights rights;
  base::TimePoint since;  // its time-out runs since then
  bool first_request = true;
  bool proxy_expected = false;
};

// How the application left a request.
struct Outcome {
  bool keep_alive = false;
  // The response's end is the connection's end and did not come: the client must see a failure.
  bool reset = false;
  base::TimePoint ended;
};

// Told what becomes of a connection whose request is inside an application that doesn't wait for it
// in a call. By the loop's owner; the connection lives.
class InsideWatcher {
 public:
  virtual ~InsideWatcher() = default;
  // Bytes or the end of the body have come, something was sent, or the client has gone.
  virtual void on_change() = 0;
  // The worker goes away.
  virtual void on_drain() = 0;
  // Of a connection that has switched to another protocol: bytes of it have come; whether more are
  // wanted; its timer's time has come.
  virtual void on_bytes(std::string_view bytes) = 0;
  [[nodiscard]] virtual bool wants_bytes() const = 0;
  virtual void on_timer(TimeoutKind kind, base::TimePoint now) = 0;
};

class Connection {
 public:
  enum class State : std::uint8_t {
    kIdle,
    kHead,
    kBody,
    kWaiting,
    kInside,
    kDiscard,
    kFlush,
    kLinger,
    kClosed,
  };
  enum class Entry : std::uint8_t { kNone, kUnfinished, kWhole };

  // What is left of a body that nobody read, and is still taken in to keep the connection.
  static constexpr std::uint64_t kDiscardBytes = 256 * 1024;

  Connection(ConnectionCommons& commons, ConnectionId id, base::UniqueFd socket,
             ConnectionStart start);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] ConnectionId id() const { return id_; }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool closed() const { return state_ == State::kClosed; }

  // What epoll reported.
  void on_event(std::uint32_t events, base::TimePoint now);
  void on_timeout(TimeoutKind kind, base::TimePoint now);
  // Goes on with reading that was put off, see wants_turn(), or paused because the body store was
  // full.
  void resume(base::TimePoint now);
  // There is more to read at once, put off so that other connections get their turn.
  [[nodiscard]] bool wants_turn() const;

  // Whether the request may enter the application.
  [[nodiscard]] Entry entry() const;
  // Marks the request as waiting in the loop's queue for `entry`.
  void set_queued(Entry queued) { queued_ = queued; }
  [[nodiscard]] Entry queued() const { return queued_; }
  void enter();
  // The application has left the request; what it said is in outcome().
  void leave(base::TimePoint now);

  // The worker goes away, see Leaving: an idle connection's time-out may change.
  void drain(base::TimePoint now);

  // Idle since then; of an idle connection.
  [[nodiscard]] base::TimePoint idle_since() const { return idle_since_; }
  // Ends an idle connection at once, in favour of others.
  void make_room();
  // Ends an idle connection that no other worker takes; what its client sends is still read.
  void part(base::TimePoint now) { end(TimeoutKind::kLingerIdle, now); }

  // Another worker can go on with the connection: nothing of a request has been read, and nothing
  // of an answer is still to be sent. What lies unread in the socket goes along.
  [[nodiscard]] bool can_pass_on() const;
  [[nodiscard]] HandOffTicket ticket() const;
  // It has been passed on: its descriptor is closed here, and nothing else.
  void forget();

  // The worker is put down: answers 504 if nothing of an answer is out, and ends the connection.
  void abort(base::TimePoint now);
  // The loop ends: an application that waits for the client is told that it has gone.
  void give_up();
  // Nothing more can be done for the client, though the application still holds the request.
  [[nodiscard]] bool abandoned() const { return state_ == State::kInside && aborted() && ended_; }

  // The application has had the request since `newest` or longer.
  [[nodiscard]] bool inside_since(base::TimePoint newest) const;
  // It has, or is receiving, a request that the application has not begun.
  [[nodiscard]] bool wants_application() const;

  // Of a request inside, until leave(). The application is on the loop's own thread.
  void set_watcher(InsideWatcher* watcher) { watcher_ = watcher; }
  // The client has gone, or has ended its side and left nothing unread. Inside.
  [[nodiscard]] bool client_ended() const;
  // Something was queued for the client, who has to take it in time. Inside.
  void watch_sending(base::TimePoint now);
  // Inside, the request's body being whole: from now on what comes is the watcher's, and the
  // request has no limit in time. Returns what has come already; valid until leave().
  [[nodiscard]] std::string_view switch_protocol();
  // The watcher's timer, in place of what it was set to.
  void set_inside_timer(TimeoutKind kind, base::TimePoint now) {
    commons_->timeouts.arm(phase_, kind, now);
  }

  // ---- for the application's thread, inside ----
  [[nodiscard]] const http::RequestHead& head() const { return head_; }
  [[nodiscard]] const app::ConnectionInfo& info() const { return info_; }
  [[nodiscard]] std::string_view scheme() const { return scheme_; }
  [[nodiscard]] BodyStore& body() { return body_; }
  [[nodiscard]] Transmitter& transmitter() { return transmitter_; }
  // The client waits for 100 (Continue); becomes false once it is sent or not needed any more.
  [[nodiscard]] bool& continue_wanted() { return continue_wanted_; }
  [[nodiscard]] Outcome& outcome() { return outcome_; }
  // The application is about to begin.
  void begin(base::TimePoint now) { begun_.store(now, std::memory_order_relaxed); }
  // The request was given up: nobody takes its answer.
  [[nodiscard]] bool aborted() const { return aborted_.load(std::memory_order_relaxed); }
  [[nodiscard]] ConnectionCommons& commons() { return *commons_; }

 private:
  // ---- transitions (connection.cc) ----
  void set_idle(base::TimePoint since);
  void after_response(bool keep_alive, base::TimePoint now);
  void next_request(base::TimePoint now);
  void end(TimeoutKind linger, base::TimePoint now);
  void close();
  void refuse(const http::ProtocolError& error, base::TimePoint now);
  std::string error_page(const http::ProtocolError& error);
  // `inside`: how long the application has had the request.
  void log_refusal(const http::ProtocolError& error, std::size_t page_bytes,
                   base::Duration inside = base::Duration::zero());
  [[nodiscard]] base::Duration time_inside(base::TimePoint now) const;
  void body_late(base::TimePoint now);
  void fail_body(const http::ProtocolError& error, int os_errno, base::TimePoint now);
  void shut_down_writing();
  void end_by_reset();
  void count_sent();
  void set_sending(bool sending);
  void handle_event(std::uint32_t events, base::TimePoint now);
  void tell_watcher() const;

  // ---- input (connection_input.cc) ----
  // Reads and parses until the state wants no more, the socket is empty, or the turn is over.
  void advance(base::TimePoint now);
  // Reads into `space`; 0 when there is nothing, the peer has ended or failed (then the state
  // may have changed).
  std::size_t receive(std::span<char> space, base::TimePoint now);
  void on_input_end(base::TimePoint now);
  void parse_head(base::TimePoint now);
  // Reads a PROXY header where one may stand. True: a request's head may follow in input_.
  bool take_proxy_header(base::TimePoint now);
  void wait_for_head(base::TimePoint now);
  void start_body(std::string_view rest, base::TimePoint now);
  void receive_body(base::TimePoint now);
  void decode_body(std::string_view bytes, base::TimePoint now);
  void on_body_bytes(std::size_t count, base::TimePoint now);
  void on_body_complete(base::TimePoint now);
  [[nodiscard]] bool receiving_body() const;
  [[nodiscard]] bool reads_now() const;

  ConnectionCommons* const commons_;
  const ConnectionId id_;
  const base::UniqueFd socket_;
  app::ConnectionInfo info_;  // constant from the first request on
  const PeerRights rights_;

  State state_ = State::kIdle;
  base::TimePoint idle_since_;
  Entry queued_ = Entry::kNone;
  Timer phase_{*this};  // what the state waits for
  Timer entry_{*this};  // kEntry
  Timer rate_{*this};   // kBodyRate

  // Input
  bool input_ready_ = false;  // the socket may hold bytes
  bool until_end_ = false;    // the peer has ended its side: only an empty read ends reading
  bool ended_ = false;        // that empty read came, or an error
  InputBuffer input_;         // the request's head, what came with it, and what follows
  InputBuffer next_;          // what came after a body that was read past input_
  http::HeadScanner scanner_;
  http::RequestHead head_;
  http::BodyDecoder decoder_;
  std::size_t request_bytes_ = 0;  // at the front of input_, in use until the request is over
  std::string_view scheme_ = "http";
  bool first_request_ = true;
  bool proxy_expected_ = false;

  // Body
  bool may_enter_ = false;  // before the body is whole
  bool body_used_ = false;
  bool body_failed_ = false;
  bool continue_wanted_ = false;
  std::uint64_t window_bytes_ = 0;     // received in the current kBodyRate window
  std::uint64_t discarded_bytes_ = 0;  // read after the response

  // Output
  bool end_after_flush_ = false;
  bool sending_ = false;      // counted among the answers that go on without the application
  bool client_ends_ = false;  // the client has said that this is its last request
  bool shut_down_ = false;
  bool resets_ = false;  // its end must be seen as a failure
  std::atomic<bool> aborted_{false};
  std::atomic<base::TimePoint> begun_{};  // of the request inside; the epoch: not yet
  std::uint64_t flush_progress_ = 0;

  InsideWatcher* watcher_ = nullptr;
  bool switched_ = false;  // to another protocol
  BodyStore body_;
  Transmitter transmitter_;
  Outcome outcome_;
};

}  // namespace corn::server
