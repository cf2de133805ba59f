// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/limits.h"

#include <algorithm>

namespace corn::http {
namespace {

std::size_t limit(std::uint32_t setting, std::size_t ceiling) {
  return setting == 0 ? ceiling : std::min<std::size_t>(setting, ceiling);
}

}  // namespace

ParserOptions ParserOptions::from(const base::WorkerConfig& config) {
  ParserOptions options;
  options.max_request_line = limit(config.limit_request_line, kMaxRequestLineBytes);
  options.max_fields = limit(config.limit_request_fields, kMaxFields);
  options.max_field_bytes = limit(config.limit_request_field_size, kMaxFieldBytes);
  // Room for everything the single limits allow: request line, fields, empty line.
  options.max_head_bytes =
      std::min(kMaxHeadBytes,
               options.max_request_line + 2 + options.max_fields * options.max_field_bytes + 2);
  options.permit_obsolete_folding = config.permit_obsolete_folding;
  options.strip_header_spaces = config.strip_header_spaces;
  options.permit_unconventional_method = config.permit_unconventional_http_method;
  options.permit_unconventional_version = config.permit_unconventional_http_version;
  options.casefold_method = config.casefold_http_method;
  options.header_map = config.header_map;
  options.forwarder_headers = config.forwarder_headers;
  return options;
}

}  // namespace corn::http
