// SPDX-License-Identifier: Apache-2.0
// How the fuzz targets of workerd/http read their input: one byte of switches, then the bytes under
// test. http_seeds.cc writes seeds in the same shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "workerd/http/limits.h"

namespace corn::http {

enum FuzzSwitch : std::uint8_t {
  kFuzzFolding = 1,
  kFuzzStripSpaces = 2,
  kFuzzUnconventional = 4,  // method and version
  kFuzzCasefold = 8,
  kFuzzHeaderMap = 48,  // the value of base::HeaderMap, times 16
  kFuzzSmallLimits = 64,
  kFuzzTrusted = 128,
};

struct FuzzInput {
  std::uint8_t switches = 0;
  std::string_view bytes;
};

inline FuzzInput read_fuzz_input(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return {};
  return {data[0], {reinterpret_cast<const char*>(data) + 1, size - 1}};
}

inline ParserOptions fuzz_options(std::uint8_t switches) {
  ParserOptions options = ParserOptions::from(base::WorkerConfig{});
  options.permit_obsolete_folding = (switches & kFuzzFolding) != 0;
  options.strip_header_spaces = (switches & kFuzzStripSpaces) != 0;
  options.permit_unconventional_method = (switches & kFuzzUnconventional) != 0;
  options.permit_unconventional_version = (switches & kFuzzUnconventional) != 0;
  options.casefold_method = (switches & kFuzzCasefold) != 0;
  options.header_map = static_cast<base::HeaderMap>((switches & kFuzzHeaderMap) / 16 % 3);
  if ((switches & kFuzzSmallLimits) != 0) {
    options.max_request_line = 40;
    options.max_fields = 4;
    options.max_field_bytes = 40;
    options.max_head_bytes = 120;
  }
  return options;
}

}  // namespace corn::http
