// SPDX-License-Identifier: Apache-2.0
// Where logs and metrics go beside the files: syslog and StatsD; Python's logging.
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

std::string logger_class_problem(const Value& value) {
  for (const std::string_view known :
       {"gunicorn.glogging.Logger", "simple", "gunicorn.instrument.statsd.Statsd"}) {
    if (value.text() == known) return "";
  }
  return "refused: Corn's own lines are not written by Python, so that a logger class would see "
         "none "
         "of them; use logconfig or logconfig_dict for the application's logs, statsd_host for "
         "metrics, access_log_format and log_format for Corn's";
}

std::vector<Setting> python_logging() {
  return {
      {.name = "logconfig",
       .flags = "--log-config",
       .placeholder = "FILE",
       .group = Group::kLogging,
       .default_note = "none",
       .help = "File by which Python's logging is configured before the application is loaded, in "
               "the form of logging.config.fileConfig.",
       .more = "It has __file__ and here as defaults. What the application logs to gunicorn.error "
               "goes to Corn's error log unless the file gives that logger handlers. Corn's own "
               "error and access lines are not written by Python and stay in errorlog and "
               "accesslog.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.log_config_file = v.text(); }},
      {.name = "logconfig_dict",
       .kind = Kind::kObject,
       .group = Group::kLogging,
       .default_note = "none",
       .wanted = "a dictionary of texts, numbers, lists and dictionaries (classes and streams by "
                 "their names, as \"ext://sys.stdout\")",
       .help = "The same as a dictionary for logging.config.dictConfig; goes before logconfig_json "
               "and logconfig.",
       .more = "As in gunicorn, what it doesn't have at its top is taken from gunicorn's default "
               "dictionary.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.log_config_dict = v.text(); }},
      {.name = "logconfig_json",
       .flags = "--log-config-json",
       .placeholder = "FILE",
       .group = Group::kLogging,
       .default_note = "none",
       .help = "A JSON file with such a dictionary; goes before logconfig.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.log_config_json = v.text(); }},
      {.name = "logger_class",
       .flags = "--logger-class",
       .placeholder = "CLASS",
       .scope = Scope::kBoth,
       .default_text = "gunicorn.glogging.Logger",
       .wanted = "gunicorn.glogging.Logger or gunicorn.instrument.statsd.Statsd",
       .support = Support::kNoEffect,
       .reason =
           "metrics go to StatsD whenever statsd_host is set; Corn's own lines are not written "
           "by Python",
       .problem = logger_class_problem},
  };
}

}  // namespace

std::vector<Setting> logging_settings() {
  std::vector<Setting> settings = syslog();
  for (const Setting& setting : python_logging()) settings.push_back(setting);
  for (const Setting& setting : statsd()) settings.push_back(setting);
  return settings;
}

}  // namespace corn::config
