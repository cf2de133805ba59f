// SPDX-License-Identifier: Apache-2.0
// Where logs and metrics go beside the files: syslog and StatsD.
#include <array>
#include <string_view>
#include <utility>

#include "arbiterd/config/schema_tables.h"
#include "base/statsd.h"
#include "base/syslog.h"

namespace corn::config {
namespace {

std::string statsd_problem(const Value& value) {
  const auto address = base::parse_statsd_address(value.text());
  return address ? "" : address.error().message + "; HOST:PORT or unix:PATH is wanted";
}

std::string syslog_problem(const Value& value) {
  const auto address = base::parse_syslog_address(value.text());
  return address ? "" : address.error().message;
}

// RFC 3164, table 1; "security" is an old name of auth.
constexpr std::array<std::pair<std::string_view, std::uint8_t>, 21> kFacilities{{
    {"auth", 4},    {"authpriv", 10}, {"cron", 9},    {"daemon", 3},  {"ftp", 11},
    {"kern", 0},    {"lpr", 6},       {"mail", 2},    {"news", 7},    {"security", 4},
    {"syslog", 5},  {"user", 1},      {"uucp", 8},    {"local0", 16}, {"local1", 17},
    {"local2", 18}, {"local3", 19},   {"local4", 20}, {"local5", 21}, {"local6", 22},
    {"local7", 23},
}};
constexpr std::string_view kFacilityNames =
    "auth|authpriv|cron|daemon|ftp|kern|lpr|mail|news|security|syslog|user|uucp|local0|local1|"
    "local2|local3|local4|local5|local6|local7";

std::uint8_t facility_named(std::string_view name) {
  for (const auto& [known, number] : kFacilities) {
    if (known == name) return number;
  }
  return 1;
}

std::vector<Setting> statsd() {
  return {
      {.name = "statsd_host",
       .flags = "--statsd-host",
       .placeholder = "ADDRESS",
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_note = "none",
       .wanted = "HOST:PORT or unix:PATH",
       .help = "StatsD server that is told of requests, workers and log entries: HOST:PORT or "
               "unix:PATH.",
       .more = "Names and types are gunicorn's; a request is one datagram. A host's name is looked "
               "up once by each process. Nothing waits for the server.",
       .problem = statsd_problem,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.statsd.address = v.text(); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.statsd.address = v.text(); }},
      {.name = "statsd_prefix",
       .flags = "--statsd-prefix",
       .placeholder = "PREFIX",
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_note = "none",
       .help = "Goes before the names of metrics, with a '.' in between.",
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.statsd.prefix = v.text(); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.statsd.prefix = v.text(); }},
      {.name = "dogstatsd_tags",
       .flags = "--dogstatsd-tags",
       .placeholder = "TAGS",
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_note = "none",
       .help = "Tags of DogStatsD for every metric: tag1:value1,tag2:value2.",
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.statsd.tags = v.text(); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.statsd.tags = v.text(); }},
      {.name = "enable_backlog_metric",
       .flags = "--enable-backlog-metric",
       .kind = Kind::kSwitch,
       .group = Group::kLogging,
       .default_text = "false",
       .help = "Tell the StatsD server each second how many connections wait to be accepted.",
       .more = "Connections to unix sockets can't be counted.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.backlog_metric = v.on(); }},
  };
}

std::vector<Setting> syslog() {
  return {
      {.name = "syslog",
       .flags = "--log-syslog",
       .kind = Kind::kSwitch,
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_text = "false",
       .help = "Send the error log and the access log to syslog too.",
       .more =
           "What syslog doesn't take at once is lost rather than waited for; the error log says "
           "so.",
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.syslog.enabled = v.on(); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.syslog.enabled = v.on(); }},
      {.name = "syslog_addr",
       .flags = "--log-syslog-to",
       .placeholder = "ADDRESS",
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_text = "udp://localhost:514",
       .wanted = "udp://HOST:PORT, tcp://HOST:PORT, unix://PATH, unix://PATH#dgram or "
                 "unix://PATH#stream",
       .help =
           "Where syslog is: udp://HOST:PORT, tcp://HOST:PORT or unix://PATH, to which #dgram or "
           "#stream may be added.",
       .problem = syslog_problem,
       .to_arbiter = [](const Value& v, ArbiterSettings& a) { a.syslog.address = v.text(); },
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.syslog.address = v.text(); }},
      {.name = "syslog_prefix",
       .flags = "--log-syslog-prefix",
       .placeholder = "NAME",
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_note = "proc_name, else the application",
       .help = "Program name of syslog's entries: gunicorn.NAME.error and gunicorn.NAME.access.",
       .to_arbiter = [](const Value& v,
                        ArbiterSettings& a) { a.syslog.tag = "gunicorn." + v.text(); },
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.syslog.tag = "gunicorn." + v.text(); }},
      {.name = "syslog_facility",
       .flags = "--log-syslog-facility",
       .placeholder = "NAME",
       .kind = Kind::kChoice,
       .scope = Scope::kBoth,
       .group = Group::kLogging,
       .default_text = "user",
       .choices = kFacilityNames,
       .help = "Facility of syslog's entries.",
       .to_arbiter = [](const Value& v,
                        ArbiterSettings& a) { a.syslog.facility = facility_named(v.text()); },
       .to_pool = [](const Value& v,
                     PoolSettings& p) { p.worker.syslog.facility = facility_named(v.text()); }},
      {.name = "disable_redirect_access_to_syslog",
       .flags = "--disable-redirect-access-to-syslog",
       .kind = Kind::kSwitch,
       .group = Group::kLogging,
       .default_text = "false",
       .help = "Keep the access log out of syslog.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.syslog.access = !v.on(); }},
  };
}

}  // namespace

std::vector<Setting> logging_settings() {
  std::vector<Setting> settings = syslog();
  for (const Setting& setting : statsd()) settings.push_back(setting);
  return settings;
}

}  // namespace corn::config
