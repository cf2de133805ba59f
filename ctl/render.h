// SPDX-License-Identifier: Apache-2.0
// All that cornctl prints on standard output goes through here.
#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ctl/outcome.h"

namespace corn::ctl {

// How long lines may be: the terminal's width, where standard output is a terminal wider than 80
// columns, and otherwise 80.
std::size_t columns();

enum class Colour { kNone, kGood, kWarning, kBad, kFaint };

// Whether standard output is a terminal that shows colour, and NO_COLOR isn't set (no-color.org).
bool colour_wanted();

// Writes `text` and a newline. Lines reach a reader at once when `flush`.
void print_line(std::string_view text, bool flush = false);

// `text` in that colour where colour is wanted.
std::string coloured(std::string_view text, Colour colour);
// Of a pool's, worker's or arbiter's state, by its name in the API.
Colour colour_of_state(std::string_view state);

// The message as one line of JSON (proto3 mapping), fields with default values included.
std::string to_json(const google::protobuf::Message& message);
// Text as a JSON string, quotes included.
std::string to_json(std::string_view text);

void print_json(const google::protobuf::Message& message, bool flush = false);

// Waits for nothing more to be written. Fails when standard output could not take it all (disk
// full).
Outcome finish_output();

// Rows under a heading, each column as wide as its widest cell. The last column is cut so that
// lines fit columns(); cells are made harmless.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
  };
  struct Cell {
    // NOLINTBEGIN(google-explicit-constructor): rows are written as lists
    Cell(const char* shown) : text(shown) {}
    Cell(std::string shown, Colour in = Colour::kNone) : text(std::move(shown)), colour(in) {}
    // NOLINTEND(google-explicit-constructor)
    std::string text;
    Colour colour = Colour::kNone;
  };

  // Each line starts with `indent` spaces.
  explicit Table(std::vector<Column> columns, std::size_t indent = 0);
  void add(std::vector<Cell> row);  // as many cells as there are columns
  void print() const;

 private:
  [[nodiscard]] std::string line(const std::vector<Cell>& row,
                                 const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::size_t indent_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace corn::ctl
