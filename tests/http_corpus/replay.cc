// SPDX-License-Identifier: Apache-2.0
#include "tests/http_corpus/replay.h"

#include <string>

namespace corn::http {
namespace {

std::string_view form_name(TargetForm form) {
  switch (form) {
    case TargetForm::kOrigin:
      return "origin";
    case TargetForm::kAbsolute:
      return "absolute";
    case TargetForm::kAuthority:
      return "authority";
    case TargetForm::kAsterisk:
      return "asterisk";
  }
  return "";
}

}  // namespace

std::string escape_bytes(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      text += "\\\\";
    } else if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += "\\x";
      text += kHex[byte >> 4U];
      text += kHex[byte & 15U];
    }
  }
  return text;
}

Replay::Replay(const ReplayOptions& options)
    : options_(options),
      state_(options.proxy == ProxyProtocolMode::kOff ? State::kHead : State::kProxyHeader),
      scanner_(options.parser) {}

void Replay::receive(std::string_view bytes) {
  buffer_ += bytes;
  while (advance()) {
  }
}

std::string Replay::events() const {
  switch (state_) {
    case State::kProxyHeader:
      return events_ + "incomplete proxy header\n";
    case State::kHead:
      return events_ + (scanner_.started() ? "incomplete head\n" : "idle\n");
    case State::kBody:
      return events_ + "  data " + escape_bytes(body_) + "\nincomplete body\n";
    case State::kClosed:
      return events_ + "closed\n";
    case State::kError:
      return events_;
  }
  return {};
}

bool Replay::advance() {
  switch (state_) {
    case State::kProxyHeader:
      return read_proxy_header();
    case State::kHead:
      return read_head();
    case State::kBody:
      return read_body();
    case State::kClosed:
    case State::kError:
      return false;
  }
  return false;
}

void Replay::line(std::string_view word, std::string_view text) {
  events_ += "  ";
  events_ += word;
  if (!text.empty()) events_ += ' ' + escape_bytes(text);
  events_ += '\n';
}

void Replay::fail(const ProtocolError& error) {
  events_ += "error " + std::to_string(error.status) + ' ' + error.log_text() + '\n';
  state_ = State::kError;
}

bool Replay::read_proxy_header() {
  const ProxyResult result = parse_proxy_header(buffer_, options_.proxy);
  switch (result.kind) {
    case ProxyResult::Kind::kNeedMore:
      return false;
    case ProxyResult::Kind::kError:
      fail(*result.error);
      return false;
    case ProxyResult::Kind::kAbsent:
      events_ += "no proxy header\n";
      break;
    case ProxyResult::Kind::kComplete: {
      const ProxyHeader& header = *result.header;
      events_ += "proxy " + std::to_string(header.version) + ' ' + header.protocol;
      if (header.has_addresses()) {
        events_ += ' ' + header.client_address + ' ' + std::to_string(header.client_port) + ' ' +
                   header.proxy_address + ' ' + std::to_string(header.proxy_port);
      }
      events_ += '\n';
      buffer_.erase(0, result.consumed_bytes);
      break;
    }
  }
  state_ = State::kHead;
  return true;
}

bool Replay::read_head() {
  const ScanResult scan = scanner_.feed(buffer_);
  if (scan.kind == ScanResult::Kind::kNeedMore) return false;
  if (scan.kind == ScanResult::Kind::kError) {
    fail(*scan.error);
    return false;
  }
  head_ = buffer_.substr(scan.skip_bytes, scan.head_bytes);
  buffer_.erase(0, scan.skip_bytes + scan.head_bytes);
  scanner_.reset();
  if (const auto error = parse_head(head_, options_.parser, request_, options_.trust)) {
    fail(*error);
    return false;
  }
  describe_head();
  decoder_.begin(request_, options_.parser);
  body_.clear();
  state_ = State::kBody;
  return true;
}

void Replay::describe_head() {
  events_ += "request " + escape_bytes(request_.method) + ' ' + escape_bytes(request_.target) +
             " HTTP/" + std::to_string(request_.major_version) + '.' +
             std::to_string(request_.minor_version) + '\n';
  line("form", form_name(request_.target_form));
  line("path", request_.path);
  if (!request_.query.empty()) line("query", request_.query);
  if (!request_.host.empty()) line("host", request_.host);
  for (const Field& field : request_.fields) {
    line("field", std::string(field.name) + ": " + std::string(field.value));
  }
  if (request_.expect_continue) line("expects 100-continue", {});
  if (request_.upgrade) line("upgrade", {});
  line(request_.keep_alive ? "keep-alive" : "close", {});
  switch (request_.framing) {
    case BodyFraming::kNone:
      line("body none", {});
      break;
    case BodyFraming::kLength:
      line("body length", std::to_string(request_.content_length));
      break;
    case BodyFraming::kChunked:
      line("body chunked", {});
      break;
  }
}

bool Replay::read_body() {
  std::string_view data;
  const DecodeResult result = decoder_.decode(buffer_, data);
  body_ += data;
  buffer_.erase(0, result.consumed);
  switch (result.status) {
    case DecodeStatus::kNeedMore:
      return false;
    case DecodeStatus::kData:
      return true;
    case DecodeStatus::kError:
      line("data", body_);
      fail(*decoder_.error());
      return false;
    case DecodeStatus::kComplete:
      if (!body_.empty()) line("data", body_);
      state_ = request_.keep_alive ? State::kHead : State::kClosed;
      return true;
  }
  return false;
}

}  // namespace corn::http
