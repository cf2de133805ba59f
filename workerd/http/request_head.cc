// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/request_head.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "workerd/http/chars.h"
#include "workerd/http/request_line.h"

namespace corn::http {
namespace {

using MaybeError = std::optional<ProtocolError>;

// Parses one head; lives no longer than that.
class HeadParser {
 public:
  HeadParser(std::string_view head, const ParserOptions& options, RequestHead& out, PeerTrust trust)
      : head_(head), options_(options), out_(out), trust_(trust) {}

  MaybeError parse() {
    reset();
    const std::size_t line_end = find_control(head_, 0);
    if (!ends_line(line_end)) return broken_line(line_end);
    if (auto error = parse_request_line(head_.substr(0, line_end), options_, out_)) return error;
    position_ = line_end + 2;
    while (position_ < head_.size() && head_[position_] != '\r') {
      if (auto error = parse_field()) return error;
    }
    if (head_.substr(position_) != "\r\n") {
      return protocol_error(400, "the request head does not end in an empty line");
    }
    return conclude();
  }

 private:
  void reset() {
    out_.method = out_.target = out_.path = out_.query = out_.host = {};
    out_.target_form = TargetForm::kOrigin;
    out_.major_version = out_.minor_version = 1;
    out_.fields.clear();
    out_.has_host = false;
    out_.framing = BodyFraming::kNone;
    out_.content_length = 0;
    out_.keep_alive = out_.expect_continue = out_.upgrade = false;
    out_.scratch.clear();
    // What goes to scratch is never longer than what it replaces, so views into it stay valid.
    if (options_.casefold_method || options_.permit_obsolete_folding) {
      out_.scratch.reserve(head_.size());
    }
  }

  [[nodiscard]] bool ends_line(std::size_t position) const {
    return head_.substr(position, 2) == "\r\n";
  }

  [[nodiscard]] ProtocolError broken_line(std::size_t position) const {
    return protocol_error(400, "a control character in the request head",
                          name_part(head_.substr(position_, position - position_)));
  }

  MaybeError parse_field() {
    const std::size_t name_start = position_;
    std::uint8_t seen = 0;
    std::size_t name_end = name_start;
    while (name_end < head_.size() && is(head_[name_end], kTokenChar)) {
      seen |= char_class(head_[name_end++]);
    }
    std::size_t colon = name_end;
    if (options_.strip_header_spaces) {
      while (colon < head_.size() && is_blank(head_[colon])) ++colon;
    }
    const std::size_t value_end = find_control(head_, colon);
    if (!ends_line(value_end)) return broken_line(value_end);
    if (name_end == name_start || head_[colon] != ':') {
      return protocol_error(400, "a header field is not NAME: VALUE",
                            name_part(head_.substr(name_start, value_end - name_start)));
    }
    const Field field{head_.substr(name_start, name_end - name_start),
                      trim(head_.substr(colon + 1, value_end - colon - 1))};
    position_ = value_end + 2;
    if (position_ < head_.size() && is_blank(head_[position_])) return unfold(field, seen);
    return on_field(field, seen);
  }

  // Joins the lines of a folded value by one space each (RFC 9112 section 5.2).
  MaybeError unfold(Field field, std::uint8_t seen) {
    if (!options_.permit_obsolete_folding) {
      return protocol_error(400, "obsolete line folding in a header field", field.name);
    }
    std::vector<char>& scratch = out_.scratch;
    const std::size_t start = scratch.size();
    scratch.insert(scratch.end(), field.value.begin(), field.value.end());
    while (position_ < head_.size() && is_blank(head_[position_])) {
      const std::size_t line_end = find_control(head_, position_);
      if (!ends_line(line_end)) return broken_line(line_end);
      const std::string_view line = trim(head_.substr(position_, line_end - position_));
      scratch.push_back(' ');
      scratch.insert(scratch.end(), line.begin(), line.end());
      position_ = line_end + 2;
    }
    field.value = trim({scratch.data() + start, scratch.size() - start});
    return on_field(field, seen);
  }

  MaybeError on_field(const Field& field, std::uint8_t seen) {
    if ((seen & kUnderscore) != 0) {
      if (options_.header_map != base::HeaderMap::kDangerous && !is_forwarder_header(field.name)) {
        if (options_.header_map == base::HeaderMap::kDrop) return std::nullopt;
        return protocol_error(400, "a header field's name has an underscore", field.name);
      }
    } else if (auto error = on_known_field(field)) {
      return error;
    }
    out_.fields.push_back(field);
    return std::nullopt;
  }

  [[nodiscard]] bool is_forwarder_header(std::string_view name) const {
    if (trust_ != PeerTrust::kTrusted) return false;
    return std::any_of(options_.forwarder_headers.begin(), options_.forwarder_headers.end(),
                       [name](std::string_view allowed) {
                         return allowed == "*" ||
                                std::equal(name.begin(), name.end(), allowed.begin(), allowed.end(),
                                           [](char a, char b) { return to_upper(a) == b; });
                       });
  }

  // The length of a name settles which of the fields that matter here it may be.
  MaybeError on_known_field(const Field& field) {
    switch (field.name.size()) {
      case 4:
        return equals_lower(field.name, "host") ? on_host(field) : std::nullopt;
      case 6:
        return equals_lower(field.name, "expect") ? on_expect(field) : std::nullopt;
      case 7:
        if (equals_lower(field.name, "upgrade")) has_upgrade_ = true;
        return std::nullopt;
      case 10:
        if (equals_lower(field.name, "connection")) on_connection(field);
        return std::nullopt;
      case 12:
        return equals_lower(field.name, "content-type") ? on_content_type(field) : std::nullopt;
      case 14:
        return equals_lower(field.name, "content-length") ? on_content_length(field) : std::nullopt;
      case 17:
        if (equals_lower(field.name, "transfer-encoding")) on_transfer_encoding(field);
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

  MaybeError on_host(const Field& field) {
    if (out_.has_host) return protocol_error(400, "more than one Host field", field.value);
    // An empty value is right where the target has no authority (RFC 9112 section 3.2).
    if (!field.value.empty() && !is_valid_authority(field.value)) {
      return protocol_error(400, "the Host field is malformed", field.value);
    }
    out_.has_host = true;
    host_index_ = out_.fields.size();
    return std::nullopt;
  }

  MaybeError on_expect(const Field& field) {
    if (!equals_lower(field.value, "100-continue")) {
      return protocol_error(417, "the only expectation understood is 100-continue", field.value);
    }
    out_.expect_continue = true;
    return std::nullopt;
  }

  void on_connection(const Field& field) {
    for_each_member(field.value, [this](std::string_view option) {
      wants_close_ |= equals_lower(option, "close");
      wants_keep_alive_ |= equals_lower(option, "keep-alive");
      wants_upgrade_ |= equals_lower(option, "upgrade");
      return true;
    });
  }

  MaybeError on_content_type(const Field& field) {
    if (has_content_type_) {
      return protocol_error(400, "more than one Content-Type field", field.value);
    }
    has_content_type_ = true;
    return std::nullopt;
  }

  MaybeError on_content_length(const Field& field) {
    if (has_content_length_) {
      return protocol_error(400, "more than one Content-Length field", field.value);
    }
    has_content_length_ = true;
    // Half the range of 64 bits, so that whatever counts in signed numbers stays right.
    constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const char* const end = field.value.data() + field.value.size();
    const auto [stop, error] = std::from_chars(field.value.data(), end, out_.content_length);
    if (error != std::errc() || stop != end || out_.content_length > kLargest) {
      return protocol_error(400, "Content-Length is not a decimal number in range", field.value);
    }
    return std::nullopt;
  }

  // Several fields are one list. What it means is settled when all have been seen.
  void on_transfer_encoding(const Field& field) {
    has_transfer_encoding_ = true;
    for_each_member(field.value, [this](std::string_view coding) {
      if (last_coding_ != Coding::kNone) coding_before_last_ = true;
      chunked_not_last_ |= last_coding_ == Coding::kChunked;
      last_coding_ = equals_lower(coding, "chunked") ? Coding::kChunked : Coding::kOther;
      return true;
    });
  }

  // RFC 9112 section 6.3, the rules for requests.
  MaybeError decide_framing() {
    if (!has_transfer_encoding_) {
      if (has_content_length_) out_.framing = BodyFraming::kLength;
      return std::nullopt;
    }
    if (has_content_length_) {
      return protocol_error(400, "both Transfer-Encoding and Content-Length");
    }
    if (!out_.at_least_1_1()) {
      return protocol_error(400, "Transfer-Encoding in a request older than HTTP/1.1");
    }
    if (last_coding_ != Coding::kChunked || chunked_not_last_) {
      return protocol_error(400,
                            "Transfer-Encoding has not chunked as its last and only such coding");
    }
    if (coding_before_last_) {
      return protocol_error(501, "the only transfer coding understood is chunked");
    }
    out_.framing = BodyFraming::kChunked;
    return std::nullopt;
  }

  MaybeError conclude() {
    if (auto error = decide_framing()) return error;
    const bool http_1_1 = out_.at_least_1_1();
    out_.keep_alive = !wants_close_ && (http_1_1 || wants_keep_alive_);
    out_.upgrade = http_1_1 && wants_upgrade_ && has_upgrade_;
    // An older client's expectation is ignored (RFC 9110 section 10.1.1), and nobody waits for a
    // body that isn't there.
    out_.expect_continue = out_.expect_continue && http_1_1 && out_.has_body();

    if (out_.target_form == TargetForm::kAbsolute) {
      if (out_.has_host) {
        out_.fields[host_index_].value = out_.host;
      } else {
        out_.fields.push_back({"Host", out_.host});
      }
    } else if (out_.host.empty() && out_.has_host) {
      out_.host = out_.fields[host_index_].value;
    }
    return std::nullopt;
  }

  enum class Coding : std::uint8_t { kNone, kChunked, kOther };

  const std::string_view head_;
  const ParserOptions& options_;
  RequestHead& out_;
  const PeerTrust trust_;

  std::size_t position_ = 0;
  std::size_t host_index_ = 0;  // in out_.fields, when out_.has_host
  bool has_content_type_ = false;
  bool has_content_length_ = false;
  bool has_upgrade_ = false;
  bool wants_close_ = false;
  bool wants_keep_alive_ = false;
  bool wants_upgrade_ = false;
  bool has_transfer_encoding_ = false;
  Coding last_coding_ = Coding::kNone;
  bool coding_before_last_ = false;
  bool chunked_not_last_ = false;
};

}  // namespace

const Field* RequestHead::find(std::string_view name) const {
  for (const Field& field : fields) {
    if (field.name.size() == name.size() &&
        std::equal(name.begin(), name.end(), field.name.begin(),
                   [](char a, char b) { return to_lower(a) == to_lower(b); })) {
      return &field;
    }
  }
  return nullptr;
}

MaybeError parse_head(std::string_view head, const ParserOptions& options, RequestHead& out,
                      PeerTrust trust) {
  return HeadParser(head, options, out, trust).parse();
}

}  // namespace corn::http
