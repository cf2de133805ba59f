// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/fork_server.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace corn::driver {

ForkServer::ForkServer(os::ChildWatch& children, std::function<void()> begun)
    : children_(children), begun_(std::move(begun)) {}

ForkServer::~ForkServer() {
  if (current_ && current_->hook.empty()) children_.end_expectation();
}

void ForkServer::open(const base::Channel& channel) {
  channel_ = &channel;
  give_next();
}

void ForkServer::add(ForkRequest request) {
  if (ended_ || waiting_.size() >= kMaxWaiting) {
    const std::string why = ended_ ? "the process has ended" : "too many requests wait for it";
    request.done({0, why, false});
    return;
  }
  waiting_.push_back(std::move(request));
  give_next();
}

void ForkServer::add_first(std::vector<ForkRequest> requests) {
  waiting_.insert(waiting_.begin(), std::make_move_iterator(requests.begin()),
                  std::make_move_iterator(requests.end()));
  give_next();
}

bool ForkServer::withdraw(std::uint64_t token) {
  return std::erase_if(waiting_, [token](const ForkRequest& r) { return r.token == token; }) > 0;
}

void ForkServer::hold(bool held) {
  held_ = held;
  give_next();
}

void ForkServer::give_next() {
  while (channel_ != nullptr && !held_ && !ended_ && !current_ && !waiting_.empty()) {
    ForkRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    const bool fork = request.hook.empty();
    request.fork.token = request.token;
    if (fork) children_.expect_child();  // the child may be there before the order's sender goes on
    const base::Status given =
        fork ? channel_->send(request.fork, request.descriptors)
             : channel_->send(base::RunHook{request.token, request.hook, request.arguments});
    if (!given) {
      if (fork) children_.end_expectation();
      request.done({0, "cannot be asked for: " + given.error().message, false});
      continue;
    }
    ++serial_;
    current_ = std::move(request);
    if (const auto sent = std::exchange(current_->sent, nullptr)) sent();
    begun_();
  }
}

void ForkServer::finish(const ForkOutcome& outcome) {
  const ForkRequest ended = *std::exchange(current_, std::nullopt);
  ended.done(outcome);
  // The child is watched by now, so that nobody takes it for a stranger.
  if (ended.hook.empty() && !outcome.uncertain) children_.end_expectation();
  give_next();
}

bool ForkServer::on_message(const base::Message& message) {
  const auto answers = [this](std::uint64_t token, bool fork) {
    return current_ && current_->token == token && current_->hook.empty() == fork;
  };
  if (const auto* forked = std::get_if<base::Forked>(&message)) {
    if (answers(forked->token, true)) finish({forked->pid, "", false});
    return true;
  }
  if (const auto* failed = std::get_if<base::ForkFailed>(&message)) {
    if (answers(failed->token, true)) {
      finish({0, failed->text.empty() ? "no reason was given" : failed->text, false});
    }
    return true;
  }
  if (const auto* done = std::get_if<base::HookDone>(&message)) {
    if (answers(done->token, false)) finish({0, done->error, false});
    return true;
  }
  return false;
}

void ForkServer::end(const std::string& why) {
  ended_ = true;
  channel_ = nullptr;
  std::erase_if(waiting_, [](const ForkRequest& r) { return r.bound; });
  if (current_) finish({0, why, current_->hook.empty()});
}

std::vector<ForkRequest> ForkServer::take_waiting(bool forks_only) {
  std::vector<ForkRequest> taken;
  std::deque<ForkRequest> kept;
  for (ForkRequest& request : waiting_) {
    if (forks_only && !request.hook.empty()) {
      kept.push_back(std::move(request));
    } else {
      taken.push_back(std::move(request));
    }
  }
  waiting_ = std::move(kept);
  return taken;
}

bool ForkServer::has_waiting_forks() const {
  return std::ranges::any_of(waiting_, [](const ForkRequest& r) { return r.hook.empty(); });
}

}  // namespace corn::driver
