// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log_outlets.h"
#include "base/result.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/app/application.h"
#include "workerd/server/hand_off.h"

namespace corn::server {

// One worker's engine: accepts from the pool's listeners, reads and answers HTTP/1.1, and calls the
// application. run() is called once, on the thread that loaded the application; the other functions
// may be called from any thread, before run() too.
class Server {
 public:
  // The worker has served max_requests (with jitter) and wants to be replaced. Called once, any
  // thread.
  using RetiringCallback = std::function<void()>;

  // All references outlive the server. `listeners` are in the order of config.listeners.
  // `hand_off`: the pool's queue of connections on their way between workers, empty where there is
  // none. `outlets`: who is told of requests beside the access log; its syslog only if that is to
  // have them.
  Server(const base::WorkerConfig& config, std::vector<base::UniqueFd> listeners,
         base::ScoreboardMap& scoreboard, app::Application& application,
         RetiringCallback on_retiring, HandOffEnds hand_off = {}, base::LogOutlets outlets = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Opens the access log and makes the event loop; fails before anything is served: a setting that
  // isn't understood, a file that can't be opened, descriptors that have run out. `access_log`: its
  // file is open already.
  base::Status prepare(base::UniqueFd access_log = {});

  // `tell` is called before the worker closes its listening sockets, by the loop: copies of them
  // elsewhere in the process are to go first, so that the accept queue can be looked at last. It
  // says whether nobody else will serve, and may be called again when that turns out later. Before
  // run().
  void on_close(std::function<void(bool nobody_left)> tell);

  // Serves until drained or told to quit; returns the process's exit status. In sync the
  // application runs on the calling thread, so that run() can't return before the application does.
  int run();

  // After run(): some application threads are still inside the application, because requests were
  // cut off. The destructor would wait for them; the process leaves by _exit(2) instead.
  [[nodiscard]] bool left_behind() const;

  // Stop accepting, finish what is in flight, hand idle connections over or close them without a
  // race (see connection draining in the source), return from run(). What is left after `grace` is
  // cut. `empty_backlog`: nobody else will serve: what waits in the accept queues is served first.
  // `may_be_last`: whether others will is to be seen; then a later call with `empty_backlog` finds
  // the queues still open. A second call can only shorten.
  void drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last = false);

  // Requests that have been inside the application for `limit` are given up: they are answered 504
  // if nothing of an answer is out, else cut off. For all else this is drain(), except that what
  // can't enter the application because every thread of it hangs is answered 504 too.
  // `only_overdue_left` is called once, by the loop, when nothing else is left to be done: run()
  // can't return then. May be called again for further requests; the first callback counts.
  void end_overdue(base::Milliseconds limit, base::Milliseconds grace,
                   std::function<void()> only_overdue_left);

  // Return from run() as soon as possible, cutting requests off.
  void quit();

  // Opens the access log anew, or takes a copy of `access_log` for it; if that fails the old file
  // stays in use, which is logged.
  void reopen_logs(int access_log = -1);

  // For a process that is about to leave without unwinding: writes what the access log holds,
  // unless a thread is busy with that.
  void flush_logs();

  // The worker is about to be put down: answers 504 on every connection whose request has had no
  // answer begun, closes the rest cleanly. Works while the application hangs. Returns when done or
  // after `limit`.
  void abort_requests(base::Milliseconds limit);

  // One line for each request inside the application: "thread TID: METHOD target, for 1.2 s".
  [[nodiscard]] std::string describe_requests() const;

 private:
  class Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace corn::server
