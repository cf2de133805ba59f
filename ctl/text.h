// SPDX-License-Identifier: Apache-2.0
// Numbers, times and foreign text as people read them.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace corn::ctl {

// Columns on a terminal, one for each character: names here are rarely of scripts where that is
// wrong.
std::size_t width(std::string_view text);

// The first line, cut to so many columns; "…" stands for what is missing.
std::string fit(std::string_view text, std::size_t columns);

// Control characters other than newline and tab written as \xNN: what a request or an application
// put into a text must not move the cursor or rename the window.
std::string harmless(std::string_view text);

std::string fixed(double value, int decimals);

// "0.5 s", "120 s".
std::string seconds(double value);

// "45s", "12m", "5h02m", "3d04h": at most 6 columns up to 99 days.
std::string duration(double seconds);

// "512", "1.5K", "44M", "2.1G": powers of 1024, at most 5 columns.
std::string bytes(std::uint64_t value);

// "999999", "12.3M": at most 6 columns.
std::string count(std::uint64_t value);

// "1.3 ms", "48 ms", "2.5 s".
std::string milliseconds(double value);

// "01-31 05:00:33", local time.
std::string date_time(const google::protobuf::Timestamp& time);

}  // namespace corn::ctl
