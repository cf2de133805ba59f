// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/response_encoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include "base/check.h"
#include "workerd/http/chars.h"

namespace corn::http {
namespace {

using base::fail;
using base::Result;
using base::Status;

enum class FieldKind : std::uint8_t {
  kOrdinary,
  kServer,
  kDate,
  kContentLength,
  kTransferEncoding,
  kConnection,
  kHopByHop,  // concerns one connection only, which is the engine's affair
};

// By the length of the name first: most fields are told apart by that alone.
FieldKind kind_of(std::string_view name) {
  switch (name.size()) {
    case 2:
      return equals_lower(name, "te") ? FieldKind::kHopByHop : FieldKind::kOrdinary;
    case 4:
      return equals_lower(name, "date") ? FieldKind::kDate : FieldKind::kOrdinary;
    case 6:
      return equals_lower(name, "server") ? FieldKind::kServer : FieldKind::kOrdinary;
    case 7:
      return equals_lower(name, "trailer") || equals_lower(name, "upgrade") ? FieldKind::kHopByHop
                                                                            : FieldKind::kOrdinary;
    case 8:
      return equals_lower(name, "trailers") ? FieldKind::kHopByHop : FieldKind::kOrdinary;
    case 10:
      if (equals_lower(name, "connection")) return FieldKind::kConnection;
      return equals_lower(name, "keep-alive") ? FieldKind::kHopByHop : FieldKind::kOrdinary;
    case 14:
      return equals_lower(name, "content-length") ? FieldKind::kContentLength
                                                  : FieldKind::kOrdinary;
    case 17:
      return equals_lower(name, "transfer-encoding") ? FieldKind::kTransferEncoding
                                                     : FieldKind::kOrdinary;
    case 18:
      return equals_lower(name, "proxy-authenticate") ? FieldKind::kHopByHop : FieldKind::kOrdinary;
    case 19:
      return equals_lower(name, "proxy-authorization") ? FieldKind::kHopByHop
                                                       : FieldKind::kOrdinary;
    default:
      return FieldKind::kOrdinary;
  }
}

// What the application's head says, once it is known to be well-formed.
struct Summary {
  int status = 0;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;  // it set Transfer-Encoding: chunked
  bool close = false;    // it set Connection: close
  bool has_server = false;
  bool has_date = false;
};

// Error messages show a name but never a value, which may be a secret.
std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

Result<int> parse_status(std::string_view line) {
  const bool well_formed = line.size() >= 3 && all(line.substr(0, 3), kDigit) && line[0] != '0' &&
                           (line.size() == 3 || line[3] == ' ') &&
                           find_control(line, 0) == line.size();
  if (!well_formed) {
    return fail(
        "the response's status is not three digits, a space and a phrase without control "
        "characters");
  }
  return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

Status add_content_length(std::string_view value, Summary& summary) {
  if (summary.content_length) return fail("the response has more than one Content-Length");
  std::uint64_t length = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, length);
  if (error != std::errc() || stop != end) {
    return fail("the response's Content-Length is not a decimal number");
  }
  summary.content_length = length;
  return {};
}

Status add_transfer_encoding(std::string_view value, Summary& summary) {
  if (equals_lower(value, "chunked")) {
    summary.chunked = true;
  } else if (!equals_lower(value, "identity")) {
    return fail("the response's Transfer-Encoding is not chunked, the only one supported");
  }
  return {};
}

Status add_field(const Field& field, Summary& summary) {
  if (!is_token(field.name)) {
    return fail(
        "the response has a header whose name is empty or has a character that names must "
        "not have");
  }
  if (find_control(field.value, 0) != field.value.size()) {
    return fail("the response's header " + quoted(field.name) +
                " has a control character (such as a line break) in its value");
  }
  const std::string_view value = trim(field.value);
  switch (kind_of(field.name)) {
    case FieldKind::kServer:
      summary.has_server = true;
      break;
    case FieldKind::kDate:
      summary.has_date = true;
      break;
    case FieldKind::kContentLength:
      return add_content_length(value, summary);
    case FieldKind::kTransferEncoding:
      return add_transfer_encoding(value, summary);
    case FieldKind::kConnection:
      summary.close |= !for_each_member(
          value, [](std::string_view option) { return !equals_lower(option, "close"); });
      break;
    case FieldKind::kOrdinary:
    case FieldKind::kHopByHop:
      break;
  }
  return {};
}

Result<Summary> summarise(const ResponseHead& head) {
  const Result<int> status = parse_status(head.status_line);
  if (!status) return tl::unexpected(status.error());
  Summary summary;
  summary.status = *status;
  for (const Field& field : head.fields) {
    if (Status added = add_field(field, summary); !added) return tl::unexpected(added.error());
  }
  return summary;
}

// Of the answer itself: a client goes on waiting after an interim one; 101 alone ends the exchange
// (RFC 9110 section 15.2.2).
Result<Summary> summarise_final(const ResponseHead& head) {
  Result<Summary> summary = summarise(head);
  if (summary && summary->status < 200 && summary->status != 101) {
    return fail("the response's status is " + std::to_string(summary->status) +
                ", which is interim: the answer itself needs 200 or above");
  }
  return summary;
}

void append_number(std::uint64_t value, int base, std::string& out) {
  std::array<char, 20> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value, base);
  out.append(digits.data(), result.ptr);
}

void append_status_line(std::string_view status_line, std::string& out) {
  out += "HTTP/1.1 ";
  out += status_line;
  if (status_line.size() == 3) out += ' ';  // belongs to the grammar, phrase or not
  out += "\r\n";
}

void append_field(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

// The application's fields but for those the engine writes itself or that concern the connection.
void append_fields(std::span<const Field> fields, std::string& out) {
  for (const Field& field : fields) {
    const FieldKind kind = kind_of(field.name);
    if (kind == FieldKind::kOrdinary || kind == FieldKind::kServer || kind == FieldKind::kDate) {
      append_field(field.name, trim(field.value), out);
    }
  }
}

// How a response is framed, and the Content-Length that its head states.
struct FramingChoice {
  ResponseFraming framing = ResponseFraming::kNoBody;
  std::optional<std::uint64_t> content_length;
};

// The numbered rules of the header.
FramingChoice choose_framing(const ResponseContext& context, const Summary& summary,
                             std::optional<std::uint64_t> body_size) {
  const int status = summary.status;
  if (status < 200 || status == 204) return {};
  if (status == 304) return {ResponseFraming::kNoBody, summary.content_length};
  if (status == 205) return {ResponseFraming::kNoBody, 0};
  if (context.head_method) {
    // An application that answers HEAD without a body doesn't say that GET has none.
    if (!summary.content_length && body_size == 0U) body_size.reset();
    return {ResponseFraming::kNoBody, summary.content_length ? summary.content_length : body_size};
  }
  if (summary.chunked && context.http_1_1) return {ResponseFraming::kChunked, std::nullopt};
  if (summary.content_length) return {ResponseFraming::kLength, summary.content_length};
  if (body_size) return {ResponseFraming::kLength, body_size};
  if (context.http_1_1) return {ResponseFraming::kChunked, std::nullopt};
  return {ResponseFraming::kUntilClose, std::nullopt};
}

}  // namespace

Status check_response_head(const ResponseHead& head) {
  if (const Result<Summary> summary = summarise_final(head); !summary) {
    return tl::unexpected(summary.error());
  }
  return {};
}

Status ResponseEncoder::start(const ResponseHead& head, std::optional<std::uint64_t> body_size,
                              std::string_view date, std::string& out) {
  CORN_CHECK(!started_);
  const Result<Summary> summary = summarise_final(head);
  if (!summary) return tl::unexpected(summary.error());
  const FramingChoice choice = choose_framing(context_, *summary, body_size);

  started_ = true;
  status_ = summary->status;
  framing_ = choice.framing;
  if (framing_ == ResponseFraming::kLength) remaining_ = *choice.content_length;
  // What follows 101 is another protocol, of which the engine knows nothing.
  keep_alive_ = context_.keep_alive && !summary->close && status_ >= 200 &&
                framing_ != ResponseFraming::kUntilClose;

  append_status_line(head.status_line, out);
  if (!summary->has_server) append_field("Server", "corn", out);
  if (!summary->has_date) append_field("Date", date, out);
  if (!keep_alive_) {
    append_field("Connection", "close", out);
  } else if (!context_.http_1_1) {
    append_field("Connection", "keep-alive", out);
  }
  append_fields(head.fields, out);
  if (choice.content_length) {
    out += "Content-Length: ";
    append_number(*choice.content_length, 10, out);
    out += "\r\n";
  } else if (framing_ == ResponseFraming::kChunked) {
    append_field("Transfer-Encoding", "chunked", out);
  }
  out += "\r\n";
  return {};
}

void ResponseEncoder::append(std::string_view data, std::string& out) {
  const std::uint64_t size = open_frame(data.size(), out);
  if (size == 0) return;
  out += data.substr(0, static_cast<std::size_t>(size));
  close_frame(out);
}

std::uint64_t ResponseEncoder::open_frame(std::uint64_t size, std::string& out) {
  CORN_CHECK(started_ && !finished_);
  std::uint64_t sent = size;
  switch (framing_) {
    case ResponseFraming::kNoBody:
      sent = 0;
      break;
    case ResponseFraming::kLength:
      sent = std::min(size, remaining_);
      remaining_ -= sent;
      break;
    case ResponseFraming::kChunked:
      if (size > 0) {  // a chunk of no bytes would end the body
        append_number(size, 16, out);
        out += "\r\n";
      }
      break;
    case ResponseFraming::kUntilClose:
      break;
  }
  body_bytes_ += sent;
  dropped_bytes_ += size - sent;
  return sent;
}

void ResponseEncoder::close_frame(std::string& out) {
  if (framing_ == ResponseFraming::kChunked) out += "\r\n";
}

Status ResponseEncoder::finish(std::string& out) {
  CORN_CHECK(started_ && !finished_);
  finished_ = true;
  if (framing_ == ResponseFraming::kChunked) out += "0\r\n\r\n";
  if (framing_ == ResponseFraming::kLength && remaining_ > 0) {
    keep_alive_ = false;
    return fail("the response ended after " + std::to_string(body_bytes_) + " of the " +
                std::to_string(body_bytes_ + remaining_) + " bytes that its Content-Length states");
  }
  return {};
}

std::optional<std::uint64_t> ResponseEncoder::remaining() const {
  if (framing_ != ResponseFraming::kLength) return std::nullopt;
  return remaining_;
}

Status append_interim_response(const ResponseHead& head, std::string& out) {
  const Result<Summary> summary = summarise(head);
  if (!summary) return tl::unexpected(summary.error());
  if (summary->status >= 200 || summary->status == 101) {
    return fail("the interim response's status is not 1xx, or is 101");
  }
  append_status_line(head.status_line, out);
  append_fields(head.fields, out);
  out += "\r\n";
  return {};
}

}  // namespace corn::http
