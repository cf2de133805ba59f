// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/dump.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "arbiterd/os/thread_state.h"

namespace corn::driver {
namespace {

// All callers together; each costs the loop's thread some reads from /proc.
constexpr std::size_t kMostWaiting = 16;
// More than the application threads that a worker may have.
constexpr std::size_t kMostThreads = 1100;

bool is_stopped(char state) { return state == 'T' || state == 't'; }

bool is_stopped(const std::vector<ThreadDump>& threads) {
  return !threads.empty() &&
         std::ranges::all_of(threads, [](const ThreadDump& t) { return is_stopped(t.state); });
}

ThreadDump& thread_of(std::map<std::uint32_t, ThreadDump>& threads, std::uint32_t id) {
  ThreadDump& thread = threads[id];
  thread.thread_id = id;
  return thread;
}

// What keeps threads from running, in words; empty: nothing that the kernel knows.
std::string kernel_words(pid_t pid, const std::vector<ThreadDump>& threads) {
  if (is_stopped(threads)) {
    if (threads.front().state == 't') return "stopped (t) by a debugger or tracer";
    return fmt::format("stopped (T); 'kill -CONT {}' lets it go on", pid);
  }
  std::string words;
  for (const ThreadDump& thread : threads) {
    if (thread.state != 'D') continue;
    words += fmt::format("{}thread {} is in uninterruptible sleep (D){}", words.empty() ? "" : "; ",
                         thread.thread_id,
                         thread.wait_channel.empty() ? "" : " in " + thread.wait_channel);
  }
  return words;
}

void append_sentence(std::string& text, const std::string& sentence) {
  if (sentence.empty()) return;
  text += (text.empty() ? "" : "\n") + sentence;
}

}  // namespace

Dumps::Dumps(os::EventLoop& loop, Timers& timers, FindWorker find, IsBooting is_booting,
             ReadNative read_native)
    : loop_(loop),
      timers_(timers),
      find_(std::move(find)),
      is_booting_(std::move(is_booting)),
      read_native_(std::move(read_native)) {}

void Dumps::begin(const WorkerProcess& worker, Done done, base::Milliseconds patience) {
  std::size_t count = 0;
  for (const auto& [id, waiting] : waiting_) count += waiting.callbacks.size();
  if (count >= kMostWaiting) {
    done({.code = core::ReplyCode::kUnavailable,
          .text = fmt::format("{} dumps are being made already; try again", count),
          .pid = worker.pid,
          .threads = {}});
    return;
  }
  if (const auto found = waiting_.find(worker.id); found != waiting_.end()) {
    found->second.callbacks.push_back(std::move(done));
    return;
  }
  Waiting& waiting = waiting_[worker.id];
  waiting.token = ++last_token_;
  waiting.callbacks.push_back(std::move(done));
  // Who is stopped can't answer, and must not find a heap of questions when it goes on.
  WorkerDump now = view(worker, nullptr);
  if (is_stopped(now.threads) || !worker.channel) return add_native(worker.id, std::move(now));
  const bool hurry = patience > base::Milliseconds(0) && patience < kDumpLimit;
  const base::Milliseconds limit = hurry ? patience : kDumpLimit;
  // Its answer takes a moment to get here.
  const base::Dump question{waiting.token, hurry ? patience * 3 / 4 : base::Milliseconds(0)};
  if (auto sent = worker.channel.send(question); !sent) {
    append_sentence(now.text, "it can't be asked: " + sent.error().message);
    return add_native(worker.id, std::move(now));
  }
  waiting.timer = timers_.at(loop_.now() + limit, [this, limit, id = worker.id] {
    if (const WorkerProcess* late = find_(id)) add_native(id, view(*late, nullptr, limit));
  });
}

void Dumps::on_result(const WorkerProcess& worker, const base::DumpResult& result) {
  const auto found = waiting_.find(worker.id);
  if (found == waiting_.end() || found->second.token != result.token || !found->second.timer) {
    return;  // too late
  }
  add_native(worker.id, view(worker, &result));
}

// The worker's own answer comes first, so that the tracer neither disturbs it nor shows it at work.
void Dumps::add_native(core::WorkerId id, WorkerDump dump) {
  Waiting& waiting = waiting_.at(id);
  if (waiting.timer) timers_.cancel(*std::exchange(waiting.timer, std::nullopt));
  waiting.dump = std::move(dump);
  read_native_(waiting.dump.pid, [this, id, token = waiting.token](const NativeStacks& native) {
    const auto found = waiting_.find(id);
    if (found == waiting_.end() || found->second.token != token) return;  // it has ended
    WorkerDump complete = std::move(found->second.dump);
    for (ThreadDump& thread : complete.threads) {
      const auto stack = native.threads.find(thread.thread_id);
      if (stack != native.threads.end()) thread.native_stack = stack->second;
    }
    append_sentence(complete.text, native.text);
    finish(id, complete);
  });
}

void Dumps::on_exit(core::WorkerId worker, pid_t pid) {
  WorkerDump dump;
  // What it has answered before, if it has.
  if (const auto found = waiting_.find(worker); found != waiting_.end()) {
    dump = std::move(found->second.dump);
  }
  dump.code = core::ReplyCode::kNotFound;
  dump.text = fmt::format("worker {} has just ended; see 'cornctl events'", pid);
  dump.pid = pid;
  finish(worker, dump);
}

void Dumps::finish(core::WorkerId id, const WorkerDump& dump) {
  auto done = waiting_.extract(id);
  if (!done) return;
  if (done.mapped().timer) timers_.cancel(*done.mapped().timer);
  for (const Done& callback : done.mapped().callbacks) callback(dump);
}

WorkerDump Dumps::view(const WorkerProcess& worker, const base::DumpResult* result,
                       base::Milliseconds limit) const {
  WorkerDump dump;
  dump.pid = worker.pid;
  std::map<std::uint32_t, ThreadDump> threads;
  const auto kernel = os::read_thread_states(worker.pid, kMostThreads);
  if (kernel) {
    for (const os::ThreadState& state : kernel->threads) {
      ThreadDump& thread = thread_of(threads, static_cast<std::uint32_t>(state.id));
      thread.name = state.name;
      thread.state = state.state;
      thread.wait_channel = state.wait_channel;
    }
  }
  for (const base::SlotView& slot : worker.scoreboard.read(true).slots) {
    // The thread hasn't come up yet, or has had no request yet.
    if (slot.thread_id == 0 || slot.method.empty()) continue;
    RequestStatus request{slot.thread_id, slot.method, slot.target, {}};
    ThreadDump& thread = thread_of(threads, slot.thread_id);
    if (slot.request_start) {
      request.running_for = std::max(loop_.now() - *slot.request_start, base::Duration(0));
      thread.request = std::move(request);
    } else {
      thread.last_request = std::move(request);
    }
  }
  if (result != nullptr) {
    for (const base::ThreadStack& stack : result->threads) {
      thread_of(threads, stack.thread_id).python_stack = stack.python;
    }
  }
  for (auto& [id, thread] : threads) dump.threads.push_back(std::move(thread));

  if (is_booting_(worker.id)) append_sentence(dump.text, "still loading its application");
  const std::string words = kernel_words(worker.pid, dump.threads);
  if (result != nullptr) {
    append_sentence(dump.text, words);
    append_sentence(dump.text, result->text);
  } else if (!worker.channel) {
    append_sentence(dump.text, "a worker of an earlier arbiter that has not been heard of yet" +
                                   (words.empty() ? std::string() : ": " + words));
  } else {
    append_sentence(dump.text,
                    "does not answer" + (words.empty() ? fmt::format(" within {} ms", limit.count())
                                                       : ": " + words));
  }
  if (!kernel) {
    append_sentence(dump.text, kernel.error().message);
  } else if (kernel->left_out > 0) {
    append_sentence(dump.text, fmt::format("{} more threads are not shown", kernel->left_out));
  }
  return dump;
}

}  // namespace corn::driver
