// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/body_decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "workerd/http/chars.h"

namespace corn::http {
namespace {

constexpr std::size_t kLineEndBytes = 2;
constexpr std::size_t kMaxChunkSizeDigits = 16;
// Half the range of 64 bits, so that whatever counts in signed numbers stays right.
constexpr auto kLargestChunk = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

// RFC 9110 section 6.5.1: fields needed before the body is read, for framing, routing,
// authentication or the content's meaning. In lower case.
constexpr std::array<std::string_view, 13> kForbiddenTrailers = {"authorization",
                                                                 "connection",
                                                                 "content-encoding",
                                                                 "content-length",
                                                                 "content-range",
                                                                 "content-type",
                                                                 "cookie",
                                                                 "expect",
                                                                 "host",
                                                                 "proxy-authorization",
                                                                 "te",
                                                                 "trailer",
                                                                 "transfer-encoding"};

bool is_forbidden_trailer(std::string_view name) {
  return std::any_of(kForbiddenTrailers.begin(), kForbiddenTrailers.end(),
                     [name](std::string_view forbidden) { return equals_lower(name, forbidden); });
}

// Reads through a text from the left.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  void skip_blanks() {
    while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
  }
  bool skip(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool skip_token() {
    std::size_t size = 0;
    while (size < rest_.size() && is(rest_[size], kTokenChar)) ++size;
    rest_.remove_prefix(size);
    return size > 0;
  }
  // RFC 9110 section 5.6.4. Control characters were refused before.
  bool skip_quoted_string() {
    if (!skip('"')) return false;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\' && !rest_.empty()) rest_.remove_prefix(1);
    }
    return false;
  }

 private:
  std::string_view rest_;
};

// *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) (RFC 9112 section 7.1.1)
bool are_valid_extensions(std::string_view text) {
  Cursor cursor(text);
  while (!cursor.at_end()) {
    cursor.skip_blanks();
    if (!cursor.skip(';')) return false;
    cursor.skip_blanks();
    if (!cursor.skip_token()) return false;
    Cursor value = cursor;
    value.skip_blanks();
    if (value.skip('=')) {
      value.skip_blanks();
      if (!value.skip_token() && !value.skip_quoted_string()) return false;
      cursor = value;
    }
  }
  return true;
}

}  // namespace

void BodyDecoder::begin(const RequestHead& head, const ParserOptions& options) {
  begin(head.framing, head.content_length, options);
}

void BodyDecoder::begin(BodyFraming framing, std::uint64_t content_length,
                        const ParserOptions& options) {
  options_ = &options;
  after_carriage_return_ = false;
  remaining_ = framing == BodyFraming::kLength ? content_length : 0;
  decoded_ = extension_bytes_ = 0;
  trailer_fields_ = field_bytes_ = trailer_bytes_ = 0;
  line_.clear();
  error_.reset();
  state_ = State::kComplete;
  if (framing == BodyFraming::kChunked) state_ = State::kChunkLine;
  if (remaining_ > 0) state_ = State::kLengthData;
}

std::optional<std::uint64_t> BodyDecoder::remaining() const {
  if (state_ == State::kComplete) return 0;
  if (state_ == State::kLengthData) return remaining_;
  return std::nullopt;
}

void BodyDecoder::refuse(int status, std::string_view reason, std::string_view bytes) {
  error_ = protocol_error(status, reason, bytes);
  state_ = State::kError;
}

DecodeResult BodyDecoder::decode(std::string_view input, std::string_view& data) {
  data = {};
  std::size_t consumed = 0;
  for (;;) {
    switch (state_) {
      case State::kComplete:
        return {consumed, DecodeStatus::kComplete};
      case State::kError:
        return {consumed, DecodeStatus::kError};
      case State::kLengthData:
      case State::kChunkData:
        if (consumed == input.size()) return {consumed, DecodeStatus::kNeedMore};
        take_data(input, consumed, data);
        return {consumed, DecodeStatus::kData};
      case State::kChunkDataCr:
        if (consumed == input.size()) return {consumed, DecodeStatus::kNeedMore};
        take_byte(input, consumed, '\r', State::kChunkDataLf);
        break;
      case State::kChunkDataLf:
        if (consumed == input.size()) return {consumed, DecodeStatus::kNeedMore};
        take_byte(input, consumed, '\n', State::kChunkLine);
        break;
      case State::kChunkLine:
        if (take_line(input, consumed, kMaxChunkLineBytes + kLineEndBytes)) {
          on_chunk_line();
        } else if (state_ != State::kError) {
          return {consumed, DecodeStatus::kNeedMore};
        }
        break;
      case State::kTrailerLine:
        if (take_line(input, consumed, options_->max_field_bytes)) {
          on_trailer_line();
        } else if (state_ != State::kError) {
          return {consumed, DecodeStatus::kNeedMore};
        }
        break;
    }
  }
}

void BodyDecoder::take_data(std::string_view input, std::size_t& consumed, std::string_view& data) {
  data = input.substr(consumed, static_cast<std::size_t>(
                                    std::min<std::uint64_t>(remaining_, input.size() - consumed)));
  consumed += data.size();
  decoded_ += data.size();
  remaining_ -= data.size();
  if (remaining_ == 0) {
    state_ = state_ == State::kLengthData ? State::kComplete : State::kChunkDataCr;
  }
}

void BodyDecoder::take_byte(std::string_view input, std::size_t& consumed, char expected,
                            State next) {
  if (input[consumed] != expected) {
    refuse(400, "a chunk's data is not followed by CRLF", input.substr(consumed, 1));
    return;
  }
  ++consumed;
  state_ = next;
}

bool BodyDecoder::take_line(std::string_view input, std::size_t& consumed, std::size_t limit) {
  if (!after_carriage_return_) {
    const std::size_t control = find_control(input, consumed);
    const std::string_view part = input.substr(consumed, control - consumed);
    consumed = control;
    if (line_.size() + part.size() + kLineEndBytes > limit) {
      const bool trailer = state_ == State::kTrailerLine;
      refuse(trailer ? 431 : 400,
             trailer ? "a trailer field is too large" : "a chunk-size line is too long");
      return false;
    }
    line_ += part;
    if (control == input.size()) return false;
    if (input[control] != '\r') {
      refuse(400, "a bare line feed or a control character in the chunked framing",
             name_part(line_));
      return false;
    }
    ++consumed;
    after_carriage_return_ = true;
  }
  if (consumed == input.size()) return false;
  if (input[consumed] != '\n') {
    refuse(400, "a carriage return without a line feed in the chunked framing", name_part(line_));
    return false;
  }
  ++consumed;
  after_carriage_return_ = false;
  return true;
}

void BodyDecoder::on_chunk_line() {
  const auto digits = static_cast<std::size_t>(
      std::find_if_not(line_.begin(), line_.end(), [](char c) { return is(c, kHexDigit); }) -
      line_.begin());
  const std::string_view line(line_);
  std::from_chars(line.data(), line.data() + digits, remaining_, 16);
  if (digits == 0 || digits > kMaxChunkSizeDigits || remaining_ > kLargestChunk) {
    refuse(400, "a chunk's size is not a hexadecimal number in range", line);
    return;
  }
  if (!are_valid_extensions(line.substr(digits))) {
    refuse(400, "a chunk extension is malformed", line);
    return;
  }
  extension_bytes_ += line.size() - digits;
  if (extension_bytes_ > kChunkExtensionAllowance + decoded_) {
    refuse(400, "too many bytes of chunk extensions");
    return;
  }
  line_.clear();
  state_ = remaining_ > 0 ? State::kChunkData : State::kTrailerLine;
}

void BodyDecoder::on_trailer_line() {
  const std::string_view line(line_);
  if (line.empty()) {
    state_ = State::kComplete;
    return;
  }
  trailer_bytes_ += line.size() + kLineEndBytes;
  if (is_blank(line.front())) {
    if (!options_->permit_obsolete_folding || trailer_fields_ == 0) {
      refuse(400, "a trailer line starts with white space");
      return;
    }
    field_bytes_ += line.size() + kLineEndBytes;
  } else {
    const std::size_t colon = std::min(line.find(':'), line.size());
    std::string_view name = line.substr(0, colon);
    if (options_->strip_header_spaces) name = trim(name);
    if (colon == line.size() || !is_token(name)) {
      refuse(400, "a trailer field is not NAME: VALUE", name_part(line));
      return;
    }
    if (is_forbidden_trailer(name)) {
      refuse(400, "a field that must not be a trailer", name);
      return;
    }
    ++trailer_fields_;
    field_bytes_ = line.size() + kLineEndBytes;
  }
  if (trailer_fields_ > options_->max_fields || field_bytes_ > options_->max_field_bytes ||
      trailer_bytes_ > options_->max_head_bytes) {
    refuse(431, "the trailer section is too large");
    return;
  }
  line_.clear();
}

}  // namespace corn::http
