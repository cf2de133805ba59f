// SPDX-License-Identifier: Apache-2.0
// The worker's side of its channel to arbiterd.
//
// A thread of its own, asleep unless something comes, waits for messages, signals and two
// deadlines. It shares nothing with the application but the process, so that a worker whose every
// other thread hangs, with the interpreter's lock held or inside the kernel, still answers, shows
// its stacks, and ends when told.
//
//   message or signal            what happens
//   Drain                        callbacks.drain(grace, empty_backlog)
//   SIGTERM from arbiterd        callbacks.drain(graceful_timeout, true): the pool may be going
//   SIGTERM from somebody else   callbacks.retire(graceful_timeout): the pool stays
//   EndOverdue                   callbacks.end_overdue(limit, grace)
//   SIGINT, SIGQUIT              callbacks.quit()
//   TakeLogs                     callbacks.reopen_logs(files), with the files that came
//   ReopenLogs, SIGUSR1          callbacks.reopen_logs({})
//   Dump                         callbacks.dump(patience), with the token that came
//   Ping                         Pong
//   SIGABRT                      callbacks.abort(), then the process dies of SIGABRT
//   anything else                Unsupported
//   the channel ends             the worker serves on as an orphan and offers itself to whichever
//                                arbiterd of the instance comes next (adoption.h); drain() if none
//                                has within orphan_timeout. What drains can still be adopted, but
//                                has no listening sockets any more: the port is free
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/clock.h"
#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "workerd/link/adoption.h"

namespace corn::link {

// Log files that arbiterd has opened, by name.
using OpenFiles = std::map<std::string, base::UniqueFd>;

// What came with the order. `files` are closed where they are too few or too many.
OpenFiles name_files(const base::TakeLogs& order, std::vector<base::UniqueFd> files);

// The descriptor of that file; -1: it isn't there.
int find_file(const OpenFiles& files, const std::string& path);

// Called on the link's thread, one at a time; all must be set and must not wait for the
// application.
struct Callbacks {
  std::function<void(base::Milliseconds grace, bool empty_backlog)> drain;
  // As drain() where others go on serving, but a drain() that says otherwise may follow.
  std::function<void(base::Milliseconds grace)> retire;
  // Gives up requests that have been in the application for `limit`, and drains for the others.
  std::function<void(base::Milliseconds limit, base::Milliseconds grace)> end_overdue;
  std::function<void()> quit;
  std::function<void(OpenFiles files)> reopen_logs;
  // Stacks of every thread, within `patience` (0: in the usual time); the token is the link's.
  std::function<base::DumpResult(base::Milliseconds patience)> dump;
  std::function<void()> abort;    // last words; the process dies when it returns
  std::function<void()> overdue;  // exit_by()'s time is over; the process ends when it returns
};

// Waits for the first message on a child's channel, which must be Configure.
base::Result<base::WorkerConfig> receive_configuration(base::Channel& channel);

class Link {
 public:
  // Takes the channel, and this process's signals (see signals.h). Main thread, before other
  // threads.
  static base::Result<std::unique_ptr<Link>> open(base::UniqueFd channel);

  ~Link();  // stop()
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Starts the thread. `graceful_timeout` is what SIGTERM and being orphaned give to requests in
  // flight; an `orphan_timeout` of zero means to serve on for ever. `estate` is what another
  // arbiterd is offered.
  base::Status start(Callbacks callbacks, base::Milliseconds graceful_timeout,
                     base::Milliseconds orphan_timeout, Estate estate = {});

  // Stops the thread, having sent what waits to be sent if arbiterd takes it within a second. No
  // callback runs afterwards; the handlers of signals stay, and what comes is not obeyed. Not from
  // a callback.
  void stop();

  // Sends, or keeps in a queue until the channel takes it: a message is lost only with the channel
  // itself. Any thread; before start() it waits for a full channel instead.
  base::Status send(base::Message message);

  // From now on the process must end within `limit`: then it is ended with `status`, whatever
  // its threads do. A later call can only shorten. Any thread.
  void exit_by(base::Duration limit, int status);

  [[nodiscard]] bool orphaned() const;

  // Gives the estate's listening sockets to the caller: another arbiterd is offered none. Any
  // thread.
  std::vector<base::UniqueFd> release_listeners();

 private:
  Link(base::UniqueFd channel, base::UniqueFd wake);

  void run();
  void wake() const;
  void receive_messages();
  void obey(const base::Message& message, std::vector<base::UniqueFd> descriptors);
  base::Status answer_unsupported(const base::Unsupported& message);
  void obey_signals();
  void flush_queue();
  void lose_channel();
  void seek_adoption(base::TimePoint now);
  void note_adoption();
  // Drains though no arbiterd has ordered it; the next one is told why.
  void leave_unattended(const char* cause);
  void check_deadlines(base::TimePoint now);
  [[nodiscard]] int poll_timeout(base::TimePoint now) const;

  // Constant after start().
  int wake_fd_;
  Callbacks callbacks_;
  base::Milliseconds graceful_timeout_{0};
  base::Milliseconds orphan_timeout_{0};

  // Link thread only, once it runs.
  std::optional<base::TimePoint> orphan_deadline_;
  std::optional<base::TimePoint> next_offer_;  // while there is somebody to be found
  bool offered_ = false;                       // nothing was heard on this channel yet
  bool quitting_ = false;
  bool leaves_unattended_ = false;

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  base::Channel channel_;
  Estate estate_;
  std::deque<base::Message> queue_;
  std::optional<base::TimePoint> exit_deadline_;
  int exit_status_ = 0;
  bool running_ = false;
  bool orphaned_ = false;
  bool ready_ = false;    // Ready was sent, or would have been
  std::string retiring_;  // the cause, once Retiring was sent or would have been
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace corn::link
