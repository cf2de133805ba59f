// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/formats.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <vector>

#include "arbiterd/config/raw_value.h"
#include "arbiterd/config/text.h"
#include "base/named_format.h"

namespace corn::config {
namespace {

std::optional<std::uint32_t> number_up_to(std::string_view text, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number > most) {
    return std::nullopt;
  }
  return number;
}

constexpr std::string_view kBindForms =
    "HOST:PORT, HOST, [IPV6-ADDRESS]:PORT, unix:PATH or fd://NUMBER is wanted";

bool is_port(std::string_view text) { return number_up_to(text, 65535).has_value(); }

std::string one_bind_problem(std::string_view address) {
  if (address.starts_with("unix:")) {
    std::string_view path = address.substr(5);
    if (path.starts_with("//")) path.remove_prefix(2);
    return path.empty() || path == "@" ? "a path after unix: is wanted" : "";
  }
  if (address.starts_with("fd://")) {
    const bool number = number_up_to(address.substr(5), 1U << 20U).has_value();
    return number ? "" : "the number of an open descriptor after fd:// is wanted";
  }
  if (address.starts_with("tcp://")) address.remove_prefix(6);
  if (address.find_first_of("/ \t@") != std::string_view::npos) return std::string(kBindForms);
  if (address.starts_with("[")) {
    const std::size_t end = address.find(']');
    if (end == std::string_view::npos) return std::string(kBindForms);
    const std::string host(address.substr(1, end - 1));
    const std::string plain = host.substr(0, host.find('%'));  // fe80::1%eth0
    in6_addr parsed{};
    if (::inet_pton(AF_INET6, plain.c_str(), &parsed) != 1) {
      return fmt::format("{} is not an IPv6 address; {}", in_quotes(host), kBindForms);
    }
    address.remove_prefix(end + 1);
    if (address.empty()) return "";
  } else {
    const auto colons = std::count(address.begin(), address.end(), ':');
    if (colons == 0) return "";
    if (colons > 1) return "an IPv6 address stands in brackets, as in [::1]:8000";
    address.remove_prefix(address.find(':'));
  }
  if (!address.starts_with(":") || !is_port(address.substr(1))) {
    return fmt::format("a port is a number from 0 to 65535; {}", kBindForms);
  }
  return "";
}

// Whether bits of `address` beyond the first `prefix` are set.
bool has_host_bits(const std::vector<unsigned char>& address, std::uint32_t prefix) {
  for (std::uint32_t bit = prefix; bit < address.size() * 8; ++bit) {
    if ((address[bit / 8] & (0x80U >> (bit % 8))) != 0) return true;
  }
  return false;
}

std::string one_network_problem(std::string_view network) {
  if (network == "*") return "";
  const std::size_t slash = network.find('/');
  const std::string address(network.substr(0, slash));
  const bool v6 = address.find(':') != std::string::npos;
  std::vector<unsigned char> bytes(v6 ? 16 : 4);
  if (::inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1) {
    return fmt::format(
        "{} is not an address; addresses, networks such as 10.0.0.0/8, or * are wanted",
        in_quotes(network));
  }
  if (slash == std::string_view::npos) return "";
  const auto prefix = number_up_to(network.substr(slash + 1), v6 ? 128 : 32);
  if (!prefix) {
    return fmt::format("{} has no prefix length from 0 to {}", in_quotes(network), v6 ? 128 : 32);
  }
  if (has_host_bits(bytes, *prefix)) {
    return fmt::format("{} has bits set beyond its prefix of {}; write the network's own address",
                       in_quotes(network), *prefix);
  }
  return "";
}

std::string first_problem(const Value& values, std::string (*problem)(std::string_view)) {
  for (const std::string& value : values.list()) {
    if (std::string text = problem(value); !text.empty()) return text;
  }
  return "";
}

bool is_decimal(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Number of the last id that chown(2) and setuid(2) take; one more means "leave as it is".
constexpr std::uint32_t kLastId = 0xfffffffe;

// Looks `name` up with one of getpwnam_r(3) and getgrnam_r(3). A name service that doesn't answer
// is no proof that the name is wrong.
template <typename Entry>
bool is_unknown(const std::string& name,
                int (*look_up)(const char*, Entry*, char*, std::size_t, Entry**)) {
  std::vector<char> buffer(16384);
  Entry entry{};
  Entry* found = nullptr;
  int error = 0;
  while ((error = look_up(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < (1U << 22U)) {
    buffer.resize(buffer.size() * 2);
  }
  return found == nullptr && (error == 0 || error == ENOENT || error == ESRCH);
}

template <typename Entry>
std::string account_problem(std::string_view what, const std::string& name,
                            int (*look_up)(const char*, Entry*, char*, std::size_t, Entry**)) {
  if (is_decimal(name)) {
    return number_up_to(name, kLastId) ? ""
                                       : fmt::format("a {} number is at most {}", what, kLastId);
  }
  if (!is_unknown(name, look_up)) return "";
  return fmt::format("this machine has no {0} of that name; the name or number of a {0} is wanted",
                     what);
}

struct ClassName {
  std::string_view name;
  std::optional<base::WorkerClass> means;  // nullopt: known, and not implemented
  std::string_view instead;
};

constexpr std::string_view kInsteadOfGreenlets = "use gevent, or gthread with --threads";

constexpr std::string_view kAiohttp =
    "an application of aiohttp.web is none of ASGI; it runs by itself (python3 -m aiohttp.web)";

constexpr std::array kClassNames = {
    ClassName{"sync", base::WorkerClass::kSync, ""},
    ClassName{"gthread", base::WorkerClass::kThreads, ""},
    ClassName{"gunicorn.workers.sync.syncworker", base::WorkerClass::kSync, ""},
    ClassName{"gunicorn.workers.gthread.threadworker", base::WorkerClass::kThreads, ""},
    ClassName{"gevent", base::WorkerClass::kGevent, ""},
    ClassName{"gevent_wsgi", base::WorkerClass::kGevent, ""},
    ClassName{"gevent_pywsgi", base::WorkerClass::kGevent, ""},
    ClassName{"gunicorn.workers.ggevent.geventworker", base::WorkerClass::kGevent, ""},
    ClassName{"gunicorn.workers.ggevent.geventpywsgiworker", base::WorkerClass::kGevent, ""},
    ClassName{"eventlet", std::nullopt, kInsteadOfGreenlets},
    ClassName{"gunicorn.workers.geventlet.eventletworker", std::nullopt, kInsteadOfGreenlets},
    ClassName{"tornado", std::nullopt,
              "use sync, gthread or gevent, which serve WSGI applications"},
    ClassName{"gunicorn.workers.gtornado.tornadoworker", std::nullopt,
              "use sync, gthread or gevent, which serve WSGI applications"},
    ClassName{"asgi", base::WorkerClass::kAsgi, ""},
    ClassName{"gunicorn.workers.gasgi.asgiworker", base::WorkerClass::kAsgi, ""},
    ClassName{"uvicorn.workers.uvicornworker", base::WorkerClass::kAsgi, ""},
    ClassName{"uvicorn.workers.uvicornh11worker", base::WorkerClass::kAsgi, ""},
    ClassName{"uvicorn_worker.uvicornworker", base::WorkerClass::kAsgi, ""},
    ClassName{"uvicorn_worker.uvicornh11worker", base::WorkerClass::kAsgi, ""},
    ClassName{"aiohttp.gunicornwebworker", std::nullopt, kAiohttp},
    ClassName{"aiohttp.gunicornuvloopwebworker", std::nullopt, kAiohttp},
    ClassName{"aiohttp.worker.gunicornwebworker", std::nullopt, kAiohttp},
    ClassName{"aiohttp.worker.gunicornuvloopwebworker", std::nullopt, kAiohttp},
    ClassName{"native", std::nullopt, "use sync, gthread, gevent or asgi"},
};

const ClassName* find_class(std::string_view name) {
  constexpr std::string_view kEntryPoint = "egg:gunicorn#";
  if (name.starts_with(kEntryPoint)) name.remove_prefix(kEntryPoint.size());
  const std::string wanted = lowercase(name);
  const auto found = std::find_if(kClassNames.begin(), kClassNames.end(),
                                  [&](const ClassName& known) { return known.name == wanted; });
  return found == kClassNames.end() ? nullptr : &*found;
}

}  // namespace

std::string bind_problem(const Value& addresses) {
  if (addresses.list().empty()) return std::string(kBindForms);
  return first_problem(addresses, one_bind_problem);
}

std::string network_problem(const Value& networks) {
  return first_problem(networks, one_network_problem);
}

std::string environment_problem(const Value& assignments) {
  return first_problem(assignments, [](std::string_view assignment) -> std::string {
    const std::size_t equals = assignment.find('=');
    if (equals != 0 && equals != std::string_view::npos) return "";
    return fmt::format("{} is not an assignment; NAME=VALUE is wanted", in_quotes(assignment));
  });
}

std::string user_problem(const Value& user) {
  return account_problem<passwd>("user", user.text(), ::getpwnam_r);
}

std::string group_problem(const Value& group) {
  return account_problem<::group>("group", group.text(), ::getgrnam_r);
}

std::string application_problem(const Value& application) {
  const std::string& name = application.text();
  const std::string_view file = std::string_view(name).substr(0, name.find(':'));
  if (file.ends_with(".so")) {
    return "native applications are not implemented in this version of Corn; a Python application "
           "as "
           "MODULE:CALLABLE is wanted";
  }
  if (file.empty() || file.find_first_of(" \t") != std::string_view::npos) {
    return "MODULE:CALLABLE, MODULE or MODULE:FACTORY() is wanted";
  }
  if (file.find('/') != std::string_view::npos || file.ends_with(".py")) {
    return "a module's name with dots is wanted, not a file's; --chdir and --pythonpath tell where "
           "to "
           "find it";
  }
  return "";
}

std::string worker_class_problem(const Value& name) {
  const ClassName* known = find_class(name.text());
  if (known != nullptr && known->means) return "";
  if (known == nullptr && name.text().find('.') != std::string::npos) {
    return "worker classes of one's own are not run, because Corn's workers are a program; asgi is "
           "wanted for an asynchronous application, sync, gthread or gevent for any other";
  }
  if (known == nullptr) return "sync, gthread, gevent or asgi is wanted";
  return fmt::format("this class is not implemented in this version of Corn; {}", known->instead);
}

std::string control_problem(const Value& address) {
  std::string_view text = address.text();
  if (text.starts_with("unix:")) return one_bind_problem(text);
  if (one_bind_problem(text).empty() && text.find(':') != std::string_view::npos) {
    return "control over TCP is not implemented in this version of Corn; unix:PATH is wanted";
  }
  return "unix:PATH is wanted";
}

std::string field_name_problem(const Value& headers) {
  for (const std::string& header : headers.list()) {
    const std::string_view name = std::string_view(header).substr(0, header.find('='));
    const bool token = std::all_of(name.begin(), name.end(), [](char c) {  // RFC 9110, 5.6.2
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    });
    if (!token || name.empty()) return fmt::format("{} is not a header's name", in_quotes(name));
  }
  return "";
}

std::string instance_name_problem(const Value& name) {
  constexpr std::size_t kLongest = 4096;  // longer ones than that no title shows (process_title.h)
  if (name.text().size() <= kLongest) return "";
  return fmt::format("a name of at most {} bytes is wanted", kLongest);
}

std::string access_format_problem(const Value& format) {
  const auto parsed = base::parse_named_format(format.text());
  return parsed ? "" : parsed.error().message;
}

base::WorkerClass worker_class_named(std::string_view name) {
  const ClassName* known = find_class(name);
  return known != nullptr ? known->means.value_or(base::WorkerClass::kSync)
                          : base::WorkerClass::kSync;
}

}  // namespace corn::config
