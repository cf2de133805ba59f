// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/access_format.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <iterator>
#include <utility>

#include "workerd/http/percent.h"
#include "workerd/server/field_name.h"

namespace corn::server {
namespace {

constexpr std::string_view kNothing = "-";

void append_or_nothing(std::string_view text, std::string& out) {
  append_escaped(text.empty() ? kNothing : text, out);
}

void append_field(const http::RequestHead* head, std::string_view name, std::string& out) {
  const http::Field* field = head == nullptr ? nullptr : head->find(name);
  append_or_nothing(field == nullptr ? kNothing : field->value, out);
}

std::string_view response_field(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && same_field_name(line.substr(0, colon), name)) {
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      return value == std::string_view::npos ? std::string_view() : line.substr(value);
    }
    if (line.size() + 2 >= head.size()) break;
    head.remove_prefix(line.size() + 2);
  }
  return {};
}

// RFC 4648 section 4, up to the first byte that doesn't belong to it.
std::string base64_decode(std::string_view text) {
  std::string out;
  unsigned bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<unsigned>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<unsigned>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0') + 52;
    } else if (c == '+') {
      value = 62;
    } else if (c == '/') {
      value = 63;
    } else {
      break;
    }
    held = held << 6U | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> bits & 0xffU);
    }
  }
  return out;
}

// The user of Basic authentication (RFC 7617), who is not verified here. The scheme's case doesn't
// matter, as a field name's.
void append_user(const http::RequestHead* head, std::string& out) {
  const http::Field* field = head == nullptr ? nullptr : head->find("Authorization");
  constexpr std::string_view kScheme = "Basic ";
  if (field == nullptr || !same_field_name(field->value.substr(0, kScheme.size()), kScheme)) {
    out += kNothing;
    return;
  }
  const std::string credentials = base64_decode(field->value.substr(kScheme.size()));
  append_or_nothing(std::string_view(credentials).substr(0, credentials.find(':')), out);
}

void append_protocol(const http::RequestHead& head, std::string& out) {
  out += "HTTP/";
  out += static_cast<char>('0' + head.major_version % 10);
  out += '.';
  out += static_cast<char>('0' + head.minor_version % 10);
}

void append_request_line(const http::RequestHead* head, std::string& out) {
  if (head == nullptr || head->method.empty()) {
    out += kNothing;
    return;
  }
  append_escaped(head->method, out);
  out += ' ';
  append_escaped(head->target, out);
  out += ' ';
  append_protocol(*head, out);
}

template <typename Number>
void append_number(Number number, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{}", number);
}

}  // namespace

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
}

AccessFormat::Piece AccessFormat::piece_for(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Atom>, 17> kAtoms{{
      {"h", Atom::kRemoteHost},
      {"u", Atom::kUser},
      {"t", Atom::kTime},
      {"r", Atom::kRequestLine},
      {"m", Atom::kMethod},
      {"U", Atom::kPath},
      {"q", Atom::kQuery},
      {"H", Atom::kProtocol},
      {"s", Atom::kStatus},
      {"st", Atom::kStatus},
      {"b", Atom::kBodyBytes},
      {"B", Atom::kBodyBytes},
      {"T", Atom::kSeconds},
      {"D", Atom::kMicroseconds},
      {"M", Atom::kMilliseconds},
      {"L", Atom::kDecimalSeconds},
      {"p", Atom::kProcess},
  }};
  for (const auto& [atom_name, atom] : kAtoms) {
    if (atom_name == name) return {atom, {}};
  }
  if (name == "f") return {Atom::kRequestField, "Referer"};
  if (name == "a") return {Atom::kRequestField, "User-Agent"};
  if (name.size() > 3 && name.front() == '{' && name[name.size() - 2] == '}') {
    const std::string field(name.substr(1, name.size() - 3));
    if (name.back() == 'i') return {Atom::kRequestField, field};
    if (name.back() == 'o') return {Atom::kResponseField, field};
  }
  return {Atom::kLiteral, std::string(kNothing)};
}

base::Result<AccessFormat> AccessFormat::compile(std::string_view format) {
  AccessFormat result;
  std::string literal;
  const auto add = [&result, &literal](Piece piece) {
    if (piece.atom == Atom::kLiteral) {
      literal += piece.text;
      return;
    }
    if (!literal.empty()) result.pieces_.push_back({Atom::kLiteral, std::exchange(literal, {})});
    result.pieces_.push_back(std::move(piece));
  };
  while (!format.empty()) {
    const std::size_t percent = format.find('%');
    literal += format.substr(0, percent);
    if (percent == std::string_view::npos) break;
    format.remove_prefix(percent);
    if (format.starts_with("%%")) {
      literal += '%';
      format.remove_prefix(2);
      continue;
    }
    const std::size_t close = format.find(')');
    if (!format.starts_with("%(") || close == std::string_view::npos ||
        close + 1 == format.size() || (format[close + 1] != 's' && format[close + 1] != 'd')) {
      return base::fail("access_log_format: '" + std::string(format.substr(0, 16)) +
                        "' is not of the form %(name)s; a percent sign is written %%");
    }
    add(piece_for(format.substr(2, close - 2)));
    format.remove_prefix(close + 2);
  }
  literal += '\n';
  result.pieces_.push_back({Atom::kLiteral, std::move(literal)});
  return result;
}

void AccessFormat::append(const AccessRecord& record, std::string_view time,
                          std::string& out) const {
  for (const Piece& piece : pieces_) append_piece(piece, record, time, out);
}

void AccessFormat::append_piece(const Piece& piece, const AccessRecord& record,
                                std::string_view time, std::string& out) {
  using std::chrono::duration_cast;
  const http::RequestHead* head = record.head;
  const auto microseconds = duration_cast<std::chrono::microseconds>(record.duration).count();
  switch (piece.atom) {
    case Atom::kLiteral:
      out += piece.text;
      break;
    case Atom::kRemoteHost:
      append_or_nothing(record.remote_host, out);
      break;
    case Atom::kUser:
      append_user(head, out);
      break;
    case Atom::kTime:
      out += time;
      break;
    case Atom::kRequestLine:
      append_request_line(head, out);
      break;
    case Atom::kMethod:
      append_or_nothing(head == nullptr ? kNothing : head->method, out);
      break;
    case Atom::kPath: {
      std::string path;
      if (head != nullptr) http::percent_decode(head->path, path);
      append_or_nothing(path, out);
      break;
    }
    case Atom::kQuery:
      if (head != nullptr) append_escaped(head->query, out);
      break;
    case Atom::kProtocol:
      if (head == nullptr) {
        out += kNothing;
      } else {
        append_protocol(*head, out);
      }
      break;
    case Atom::kStatus:
      append_number(record.status, out);
      break;
    case Atom::kBodyBytes:
      append_number(record.body_bytes, out);
      break;
    case Atom::kSeconds:
      append_number(microseconds / 1'000'000, out);
      break;
    case Atom::kMicroseconds:
      append_number(microseconds, out);
      break;
    case Atom::kMilliseconds:
      append_number(microseconds / 1'000, out);
      break;
    case Atom::kDecimalSeconds:
      fmt::format_to(std::back_inserter(out), "{}.{:06}", microseconds / 1'000'000,
                     microseconds % 1'000'000);
      break;
    case Atom::kProcess:
      fmt::format_to(std::back_inserter(out), "<{}>", ::getpid());
      break;
    case Atom::kRequestField:
      append_field(head, piece.text, out);
      break;
    case Atom::kResponseField:
      append_or_nothing(response_field(record.response_head, piece.text), out);
      break;
  }
}

}  // namespace corn::server
