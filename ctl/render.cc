// SPDX-License-Identifier: Apache-2.0
#include "ctl/render.h"
#include "base/json_text.h"

#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "ctl/text.h"

namespace corn::ctl {

std::size_t columns() {
  static const std::size_t found = [] {
    constexpr std::size_t kUsual = 80;
    winsize size{};
    if (::isatty(STDOUT_FILENO) != 1 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
      return kUsual;
    }
    return std::max<std::size_t>(kUsual, size.ws_col);
  }();
  return found;
}

bool colour_wanted() {
  static const bool wanted = [] {
    const char* no_colour = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return (no_colour == nullptr || *no_colour == '\0') && ::isatty(STDOUT_FILENO) == 1 &&
           terminal != nullptr && std::string_view(terminal) != "dumb";
  }();
  return wanted;
}

void print_line(std::string_view text, bool flush) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  if (flush) std::fflush(stdout);
}

std::string coloured(std::string_view text, Colour colour) {
  if (colour == Colour::kNone || !colour_wanted()) return std::string(text);
  const char* code = "";
  switch (colour) {
    case Colour::kNone:
      break;
    case Colour::kGood:
      code = "32";
      break;
    case Colour::kWarning:
      code = "33";
      break;
    case Colour::kBad:
      code = "31";
      break;
    case Colour::kFaint:
      code = "2";
      break;
  }
  return "\033[" + std::string(code) + "m" + std::string(text) + "\033[0m";
}

Colour colour_of_state(std::string_view state) {
  if (state == "READY" || state == "SERVING" || state == "BUSY") return Colour::kGood;
  if (state == "STOPPING" || state == "DEGRADED") return Colour::kBad;
  return Colour::kWarning;
}

std::string to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  static_cast<void>(google::protobuf::util::MessageToJsonString(message, &text, options));
  return text;
}

std::string to_json(std::string_view text) {
  std::string quoted = "\"";
  base::append_json_text(text, quoted);
  return quoted + '"';
}

void print_json(const google::protobuf::Message& message, bool flush) {
  print_line(to_json(message), flush);
}

Outcome finish_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return fail(ExitCode::kFailed,
              std::string("cannot write to standard output: ") + std::strerror(errno));
}

Table::Table(std::vector<Column> columns, std::size_t indent)
    : columns_(std::move(columns)), indent_(indent) {}

void Table::add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = harmless(cell.text);
  rows_.push_back(std::move(row));
}

void Table::print() const {
  std::vector<std::size_t> widths;
  std::vector<Cell> headings;
  for (const Column& column : columns_) {
    widths.push_back(width(column.heading));
    headings.emplace_back(column.heading, Colour::kFaint);
  }
  for (const std::vector<Cell>& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width(row[i].text));
    }
  }
  print_line(line(headings, widths));
  for (const std::vector<Cell>& row : rows_) print_line(line(row, widths));
}

std::string Table::line(const std::vector<Cell>& row,
                        const std::vector<std::size_t>& widths) const {
  std::string text(indent_, ' ');
  std::size_t used = indent_;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::size_t room = columns() > used ? columns() - used : 0;
    const std::string cell = fit(row[i].text, std::min(widths[i], room));
    const std::size_t missing = std::min(widths[i], room) - width(cell);
    const std::string padding(missing, ' ');
    const bool last = i + 1 == row.size();
    if (columns_[i].align == Align::kRight) text += padding;
    text += coloured(cell, row[i].colour);
    if (columns_[i].align == Align::kLeft && !last) text += padding;
    used += width(cell) + missing;
    if (!last && used + 2 <= columns()) {
      text += "  ";
      used += 2;
    }
  }
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace corn::ctl
