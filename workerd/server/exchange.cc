// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/exchange.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/log.h"
#include "workerd/http/error_response.h"

namespace corn::server {
namespace {

// Pieces up to this size are copied behind their head; larger ones are sent from where they are.
constexpr std::size_t kCopyBytes = 16 * 1024;

bool depends_on_size(http::ResponseFraming framing) {
  return framing == http::ResponseFraming::kChunked ||
         framing == http::ResponseFraming::kUntilClose;
}

}  // namespace

void Exchange::begin(Connection& connection) {
  connection_ = &connection;
  started_ = head_sent_ = ended_ = failed_ = application_failed_ = cut_off_ = false;
  status_ = 0;
  page_bytes_ = 0;
  encoder_ = http::ResponseEncoder();
  head_.clear();
  variables_.clear();
}

void Exchange::end(base::TimePoint started, base::TimePoint ended) {
  if (!ended_) fail();
  note_cut_off();
  account(started, ended);
  connection_ = nullptr;
}

// The request lies here and not on the stack, which may be another strand's meanwhile
// (app/strands.h).
void Exchange::answer() {
  request_.emplace(
      app::Request{connection_->head(), connection_->info(), connection_->scheme(), *this});
  application_->handle(*request_, *this);
  request_.reset();
}

void Exchange::run(Connection& connection) {
  begin(connection);
  const http::RequestHead& head = connection.head();
  const auto started = std::chrono::steady_clock::now();
  if (connection.aborted()) {  // while it waited for this thread
    connection.outcome().ended = started;
    connection_ = nullptr;
    return;
  }
  connection.begin(started);
  slot_->begin(head.method, head.target, started);
  answer();
  if (!ended_) fail();
  note_cut_off();
  const auto ended = std::chrono::steady_clock::now();
  slot_->end(ended, failed());
  end(started, ended);
}

void Exchange::note_cut_off() {
  if (connection_->transmitter().is_cut_off()) cut_off_ = true;
}

void Exchange::switch_protocol(std::string_view head, int status) {
  head_ = head;
  status_ = status;
  started_ = head_sent_ = ended_ = failed_ = true;
  encoder_ = http::ResponseEncoder();
  static_cast<void>(transmit(head, {}, {}));  // a client that has gone is seen by the connection
}

void Exchange::account(base::TimePoint started, base::TimePoint ended) {
  Outcome& outcome = connection_->outcome();
  outcome.ended = ended;
  outcome.keep_alive = !failed_ && encoder_.keep_alive();
  outcome.reset = failed_ && head_sent_ && encoder_.framing() == http::ResponseFraming::kUntilClose;
  AccessLog& log = connection_->commons().access_log;
  if (!log.enabled() || cut_off_) return;
  AccessRecord record;
  record.head = &connection_->head();
  record.remote_host = connection_->info().remote_host;
  record.status = status_;
  record.response_head = head_;
  record.body_bytes = logged_bytes();
  record.duration = ended - started;
  record.variables = variables_;
  log.add(record);
}

// Of an answer that its client has not waited for only what the socket took counts.
std::uint64_t Exchange::logged_bytes() const {
  const std::uint64_t given = page_bytes_ + encoder_.body_bytes();
  if (!failed_ || !head_sent_) return given;
  const std::uint64_t out = connection_->transmitter().response_bytes();
  return std::min(given, out - std::min<std::uint64_t>(out, head_.size()));
}

http::ResponseContext Exchange::context() {
  const ConnectionCommons& commons = connection_->commons();
  // Without 100 (Continue) nobody knows whether the client will send its body (RFC 9110
  // section 10.1.1).
  const bool body_in_doubt = connection_->continue_wanted() && !connection_->body().is_complete();
  const bool keep_alive = connection_->head().keep_alive && commons.config.keep_alive.count() > 0 &&
                          !body_in_doubt && !commons.answers_close();
  return http::ResponseContext::from(connection_->head(), keep_alive);
}

std::string_view Exchange::date() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return date_.at(now.tv_sec);
}

base::Result<std::size_t> Exchange::read(char* to, std::size_t size) {
  BodyStore& body = connection_->body();
  for (;;) {
    auto read = body.read(to, size);
    if (!read) return tl::unexpected<base::Error>(read.error());
    if (read->emptied_full) host_->body_emptied(connection_->id());
    if (read->size > 0 || read->end) {
      connection_->continue_wanted() = false;
      host_->progressed();
      return read->size;
    }
    if (connection_->continue_wanted() && !head_sent_) {
      connection_->transmitter().send_now(http::kContinueResponse);
    }
    connection_->continue_wanted() = false;
    host_->before_wait();
    const bool kept = body.wait(*host_);
    host_->after_wait();
    if (!kept) return base::fail("the application has broken its wait for the body off", EINTR);
  }
}

std::optional<http::ProtocolError> Exchange::problem() const {
  return connection_->body().problem();
}

bool Exchange::readable() const { return connection_->body().readable(); }

bool Exchange::whole() const { return connection_->body().is_complete(); }

std::uint64_t Exchange::available() const { return connection_->body().available(); }

base::Status Exchange::start(std::string_view status, std::span<const http::Field> fields) {
  if (head_sent_ || ended_)
    return base::fail("the response's head has been sent already", EALREADY);
  http::ResponseEncoder encoder(context());
  trial_.clear();
  if (auto encoded = encoder.start({status, fields}, std::nullopt, date(), trial_); !encoded) {
    return encoded;
  }
  encoder_ = encoder;
  head_.swap(trial_);
  started_ = true;
  status_ = encoder_.status();
  if (depends_on_size(encoder_.framing())) keep_fields(status, fields);
  return {};
}

void Exchange::keep_fields(std::string_view status, std::span<const http::Field> fields) {
  std::size_t size = status.size();
  for (const http::Field& field : fields) size += field.name.size() + field.value.size();
  kept_text_.clear();
  kept_text_.reserve(size);  // views stay valid while it is filled
  kept_fields_.clear();
  const auto keep = [this](std::string_view text) {
    const std::size_t begin = kept_text_.size();
    kept_text_.append(text);
    return std::string_view(kept_text_).substr(begin);
  };
  kept_status_ = keep(status);
  for (const http::Field& field : fields) {
    const std::string_view name = keep(field.name);
    kept_fields_.push_back({name, keep(field.value)});
  }
}

base::Status Exchange::start_with_size(std::uint64_t body_size) {
  http::ResponseEncoder encoder(context());
  trial_.clear();
  auto encoded = encoder.start({kept_status_, kept_fields_}, body_size, date(), trial_);
  if (!encoded) return encoded;
  encoder_ = encoder;
  head_.swap(trial_);
  return {};
}

base::Status Exchange::begin_body(std::optional<std::uint64_t> body_size) {
  if (!started_) return base::fail("the response has no status yet: start() comes first", EINVAL);
  if (ended_) return base::fail("the response has ended already", EALREADY);
  out_.clear();
  tail_.clear();
  if (head_sent_) return {};
  if (body_size && depends_on_size(encoder_.framing())) {
    if (auto encoded = start_with_size(*body_size); !encoded) return encoded;
  }
  out_ = head_;
  head_sent_ = true;
  if (encoder_.framing() == http::ResponseFraming::kUntilClose) {
    connection_->transmitter().ends_with_connection();
  }
  return {};
}

void Exchange::end_body(std::string& out) {
  ended_ = true;
  if (auto finished = encoder_.finish(out); !finished) {
    failed_ = application_failed_ = true;
    const http::RequestHead& head = connection_->head();
    base::log_error("{} {}: {}", head.method, base::printable(head.target),
                    finished.error().message);
  }
}

base::Status Exchange::transmit(std::string_view first, std::string_view second,
                                std::string_view third) {
  if (first.empty() && second.empty() && third.empty()) return {};
  auto sent = connection_->transmitter().send(first, second, third, *host_);
  if (!sent) failed_ = true;
  host_->progressed();
  return sent;
}

base::Status Exchange::write(std::string_view bytes, bool last) {
  if (bytes.empty() && !last) return {};
  const auto size = last ? std::optional<std::uint64_t>(bytes.size()) : std::nullopt;
  if (auto begun = begin_body(size); !begun) return begun;
  const std::uint64_t dropped = encoder_.dropped_bytes();
  base::Status sent;
  if (bytes.size() <= kCopyBytes) {
    encoder_.append(bytes, out_);
    if (last) end_body(out_);
    sent = transmit(out_, {}, {});
  } else {
    const auto taken = static_cast<std::size_t>(encoder_.open_frame(bytes.size(), out_));
    if (taken > 0) encoder_.close_frame(tail_);
    if (last) end_body(tail_);
    sent = transmit(out_, bytes.substr(0, taken), tail_);
  }
  if (sent && encoder_.framing() == http::ResponseFraming::kLength &&
      encoder_.dropped_bytes() > dropped) {
    return base::fail("the response is longer than its Content-Length; the surplus is not sent",
                      EMSGSIZE);
  }
  return sent;
}

bool Exchange::may_wait() const { return connection_->transmitter().may_wait(); }

base::Status Exchange::send_file(int fd, off_t offset, std::uint64_t length) {
  if (length == 0) return {};
  if (auto begun = begin_body(std::nullopt); !begun) return begun;
  const std::uint64_t taken = encoder_.open_frame(length, out_);
  if (auto sent = transmit(out_, {}, {}); !sent) return sent;
  if (taken > 0) {
    auto sent = connection_->transmitter().send_file(fd, offset, taken, *host_);
    host_->progressed();
    if (!sent) {
      // The frame is open and can't be filled: only the connection's end tells the client.
      ended_ = failed_ = true;
      return sent;
    }
    encoder_.close_frame(tail_);
    if (auto closed = transmit(tail_, {}, {}); !closed) return closed;
  }
  if (taken < length && encoder_.framing() == http::ResponseFraming::kLength) {
    return base::fail(
        "the file is longer than the response's Content-Length; the surplus is not sent", EMSGSIZE);
  }
  return {};
}

base::Status Exchange::early_hints(std::span<const http::Field> fields) {
  trial_.clear();
  if (auto encoded = http::append_interim_response({"103 Early Hints", fields}, trial_); !encoded) {
    return encoded;
  }
  if (head_sent_ || ended_ || !connection_->head().at_least_1_1()) return {};
  connection_->transmitter().send_now(trial_);
  return {};
}

base::Status Exchange::hand_over() {
  if (ended_) return base::fail("the request has been answered", EALREADY);
  if (connection_->head().has_body() && !connection_->body().is_complete()) {
    return base::fail("the request's body has not arrived yet", EBUSY);
  }
  Transmitter& transmitter = connection_->transmitter();
  if (transmitter.may_wait()) {
    return base::fail("the client has not taken what was sent before", EBUSY);
  }
  // Nothing is sent, but from here on no answer of the engine's own fits.
  if (auto begun = transmitter.send({}, {}, {}, *host_); !begun) return begun;
  ended_ = failed_ = head_sent_ = true;
  if (!started_) status_ = 101;
  return {};
}

std::span<const std::string> Exchange::wanted_variables() const {
  return connection_->commons().access_log.variables();
}

void Exchange::log_variable(std::size_t index, std::string_view value) {
  const std::size_t count = wanted_variables().size();
  if (index >= count) return;
  variables_.resize(count);
  variables_[index] = value;
}

void Exchange::finish() {
  if (ended_) return;
  if (!started_) {
    fail();
    return;
  }
  if (!head_sent_) {
    static_cast<void>(write({}, true));  // a client that has gone is seen by the connection
    return;
  }
  if (failed_) {  // the client has gone: what is missing isn't the application's fault
    ended_ = true;
    return;
  }
  out_.clear();
  end_body(out_);
  static_cast<void>(transmit(out_, {}, {}));
}

void Exchange::fail() {
  if (ended_) return;
  application_failed_ = true;
  refuse({500, "the application failed to answer this request"});
}

void Exchange::refuse(const http::ProtocolError& error) {
  if (ended_) return;
  ended_ = failed_ = true;
  if (head_sent_) {
    application_failed_ = true;  // what is out can't be taken back
    return;
  }
  status_ = error.status;
  encoder_ = http::ResponseEncoder();  // whatever was set is replaced
  out_.clear();
  http::append_error_response(error, connection_->head().method == "HEAD", date(), out_);
  const std::size_t head_size = std::min(out_.size(), out_.find("\r\n\r\n") + 4);
  head_.assign(out_, 0, head_size);
  page_bytes_ = out_.size() - head_size;
  head_sent_ = true;
  static_cast<void>(transmit(out_, {}, {}));
}

}  // namespace corn::server
