// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "arbiterd/config/formats.h"
#include "arbiterd/config/schema_tables.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

void set_header_map(const Value& value, PoolSettings& pool) {
  pool.worker.header_map = value.text() == "drop"     ? base::HeaderMap::kDrop
                           : value.text() == "refuse" ? base::HeaderMap::kRefuse
                                                      : base::HeaderMap::kDangerous;
}

void set_proxy_protocol(const Value& value, PoolSettings& pool) {
  pool.worker.proxy_protocol = value.text() == "off"  ? base::ProxyProtocol::kOff
                               : value.text() == "v1" ? base::ProxyProtocol::kV1
                               : value.text() == "v2" ? base::ProxyProtocol::kV2
                                                      : base::ProxyProtocol::kAuto;
}

// A request names its headers in any case, and the engine compares with upper case.
void set_forwarder_headers(const Value& value, PoolSettings& pool) {
  pool.worker.forwarder_headers.clear();
  for (const std::string& name : value.list()) {
    pool.worker.forwarder_headers.push_back(uppercase(name));
  }
}

void set_secure_scheme_headers(const Value& value, PoolSettings& pool) {
  pool.worker.secure_scheme_headers.clear();
  for (const std::string& header : value.list()) {
    const std::size_t equals = header.find('=');
    pool.worker.secure_scheme_headers.push_back(uppercase(header.substr(0, equals)) +
                                                header.substr(equals));
  }
}

constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();

std::vector<Setting> limits() {
  return {
      {.name = "limit_request_line",
       .flags = "--limit-request-line",
       .placeholder = "BYTES",
       .kind = Kind::kWhole,
       .group = Group::kRequests,
       .default_text = "4094",
       .maximum = kLargest,
       .ceiling = 8190,
       .help = "Longest request line (0: Corn's own limit); more than 8190 is taken for 8190.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.limit_request_line = v.u32(); }},
      {.name = "limit_request_fields",
       .flags = "--limit-request-fields",
       .placeholder = "N",
       .kind = Kind::kWhole,
       .group = Group::kRequests,
       .default_text = "100",
       .maximum = kLargest,
       .ceiling = 32768,
       .help =
           "Most header fields of a request (0: Corn's own limit); more than 32768 is taken for "
           "32768.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.limit_request_fields = v.u32(); }},
      {.name = "limit_request_field_size",
       .flags = "--limit-request-field_size",
       .placeholder = "BYTES",
       .kind = Kind::kWhole,
       .group = Group::kRequests,
       .default_text = "8190",
       .maximum = kLargest,
       .help = "Longest header field of a request (0: Corn's own limit).",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.limit_request_field_size = v.u32(); }},
      {.name = "body_memory",
       .flags = "--body-memory",
       .placeholder = "SIZE",
       .kind = Kind::kBytes,
       .group = Group::kRequests,
       .gunicorn = false,
       .default_text = "1M",
       .help = "Memory for one request's body; a larger one goes to a file.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.body_memory = v.u64(); }},
      {.name = "tmp_upload_dir",
       .placeholder = "DIR",
       .group = Group::kRequests,
       .default_note = "$TMPDIR, else /tmp",
       .help =
           "Directory for the files that large request bodies go to, and answers that clients are "
           "slow to take.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.upload_directory = v.text(); }},
      {.name = "body_min_rate",
       .flags = "--body-min-rate",
       .placeholder = "BYTES",
       .kind = Kind::kWhole,
       .group = Group::kRequests,
       .gunicorn = false,
       .default_text = "256",
       .maximum = std::numeric_limits<std::int32_t>::max(),
       .help = "Slowest body, in bytes a second over 10 seconds (0: any).",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.body_min_rate = v.u32(); }},
  };
}

std::vector<Setting> answers() {
  return {
      {.name = "sendfile",
       .flags = "--no-sendfile",
       .kind = Kind::kSwitch,
       .group = Group::kRequests,
       .default_text = "true",
       .default_note = "true, or $SENDFILE",
       .environment = "SENDFILE",
       .help =
           "Files in answers (wsgi.file_wrapper) leave by sendfile(2); the option switches that "
           "off.",
       .flag_value = false,
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.sendfile = v.on(); }},
  };
}

std::vector<Setting> leniency() {
  return {
      {.name = "permit_obsolete_folding",
       .flags = "--permit-obsolete-folding",
       .kind = Kind::kSwitch,
       .group = Group::kRequests,
       .default_text = "false",
       .help = "Accept header fields folded over several lines.",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.permit_obsolete_folding = v.on(); }},
      {.name = "strip_header_spaces",
       .flags = "--strip-header-spaces",
       .kind = Kind::kSwitch,
       .group = Group::kRequests,
       .default_text = "false",
       .help = "Accept and remove spaces between a header's name and its colon.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.strip_header_spaces = v.on(); }},
      {.name = "permit_unconventional_http_method",
       .flags = "--permit-unconventional-http-method",
       .kind = Kind::kSwitch,
       .group = Group::kRequests,
       .default_text = "false",
       .help = "Accept methods in lower case, with '#', or of unusual length.",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.permit_unconventional_http_method = v.on(); }},
      {.name = "permit_unconventional_http_version",
       .flags = "--permit-unconventional-http-version",
       .kind = Kind::kSwitch,
       .group = Group::kRequests,
       .default_text = "false",
       .help = "Accept other versions of HTTP than 1.0 and 1.1.",
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.permit_unconventional_http_version = v.on(); }},
      {.name = "casefold_http_method",
       .flags = "--casefold-http-method",
       .kind = Kind::kSwitch,
       .group = Group::kRequests,
       .default_text = "false",
       .help = "Turn methods into upper case.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.casefold_http_method = v.on(); }},
      {.name = "header_map",
       .flags = "--header-map",
       .placeholder = "HOW",
       .kind = Kind::kChoice,
       .group = Group::kRequests,
       .default_text = "drop",
       .choices = "drop|refuse|dangerous",
       .help = "Headers whose names would be ambiguous in the environ, those with '_': drop them, "
               "refuse the request, or (dangerous) pass them on.",
       .to_pool = set_header_map},
  };
}

std::vector<Setting> proxies() {
  return {
      {.name = "forwarded_allow_ips",
       .flags = "--forwarded-allow-ips",
       .placeholder = "ADDRESSES",
       .kind = Kind::kCommaList,
       .group = Group::kProxies,
       .default_text = "127.0.0.1,::1",
       .default_note = "127.0.0.1,::1, or $FORWARDED_ALLOW_IPS",
       .wanted = "a list of addresses and networks, or *,",
       .environment = "FORWARDED_ALLOW_IPS",
       .help = "Proxies whose forwarding headers are believed: addresses and networks with commas "
               "in between, or * for all.",
       .problem = network_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.forwarded_allow_ips = v.list(); }},
      {.name = "forwarder_headers",
       .flags = "--forwarder-headers",
       .placeholder = "NAMES",
       .kind = Kind::kCommaList,
       .group = Group::kProxies,
       .default_text = "SCRIPT_NAME,PATH_INFO",
       .help = "Headers with '_' that are taken from those proxies.",
       .to_pool = set_forwarder_headers},
      {.name = "secure_scheme_headers",
       .kind = Kind::kDictionary,
       .group = Group::kProxies,
       .default_text = "X-FORWARDED-PROTO=https,X-FORWARDED-PROTOCOL=ssl,X-FORWARDED-SSL=on",
       .wanted = "a table of header names and the values that mean https",
       .help = "Headers, and the value of each, by which those proxies tell that the client came "
               "over https.",
       .problem = field_name_problem,
       .to_pool = set_secure_scheme_headers},
      {.name = "proxy_protocol",
       .flags = "--proxy-protocol",
       .placeholder = "VERSION",
       .kind = Kind::kChoice,
       .group = Group::kProxies,
       .default_text = "off",
       .choices = "off|v1|v2|auto",
       .help = "Take the client's address from the PROXY protocol's header before a connection's "
               "first request: of version 1, version 2, or either (auto).",
       .more = "A connection without the header is served as it is. Whether forwarding headers are "
               "believed (forwarded_allow_ips) depends on the proxy's own address.",
       .optional_value = true,
       .to_pool = set_proxy_protocol},
      {.name = "proxy_allow_ips",
       .flags = "--proxy-allow-from",
       .placeholder = "ADDRESSES",
       .kind = Kind::kCommaList,
       .group = Group::kProxies,
       .default_text = "127.0.0.1,::1",
       .wanted = "a list of addresses and networks, or *,",
       .help = "Proxies that may send a PROXY header; others that do are answered 403. A unix "
               "socket's clients may.",
       .problem = network_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.proxy_allow_ips = v.list(); }},
  };
}

}  // namespace

std::vector<Setting> request_settings() {
  std::vector<Setting> settings = limits();
  for (const Setting& setting : answers()) settings.push_back(setting);
  for (const Setting& setting : leniency()) settings.push_back(setting);
  for (const Setting& setting : proxies()) settings.push_back(setting);
  return settings;
}

}  // namespace corn::config
