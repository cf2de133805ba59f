// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/port_holders.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <system_error>

namespace corn::os {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNamed = 8;
constexpr const char* kWorkerTitle = "corn: worker [";

// What readlink(2) shows for the listening sockets on `port`: "socket:[4711]".
std::set<std::string> listening_sockets(std::uint16_t port) {
  constexpr const char* kListening = "0A";  // TCP_LISTEN of <netinet/tcp.h>
  const std::string suffix = fmt::format(":{:04X}", port);
  std::set<std::string> sockets;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);  // of headings
    while (std::getline(file, line)) {
      std::istringstream words(line);
      const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
      constexpr std::size_t kInode = 9;
      if (fields.size() > kInode && fields[1].ends_with(suffix) && fields[3] == kListening) {
        sockets.insert("socket:[" + fields[kInode] + "]");
      }
    }
  }
  return sockets;
}

bool has_open(const fs::path& process, const std::set<std::string>& sockets) {
  std::error_code error;
  for (fs::directory_iterator one(process / "fd", error), end; !error && one != end;
       one.increment(error)) {
    std::error_code gone;
    if (sockets.contains(fs::read_symlink(one->path(), gone).string())) return true;
  }
  return false;
}

std::string title_of(const fs::path& process) {
  std::ifstream file(process / "cmdline");
  std::string title{std::istreambuf_iterator<char>(file), {}};
  while (!title.empty() && title.back() == '\0') title.pop_back();
  std::ranges::replace(title, '\0', ' ');
  return title.substr(0, 80);
}

}  // namespace

std::vector<PortHolder> find_port_holders(std::uint16_t port) {
  std::vector<PortHolder> holders;
  const std::set<std::string> sockets = listening_sockets(port);
  if (sockets.empty()) return holders;
  std::error_code error;
  for (fs::directory_iterator one("/proc", error), end; !error && one != end;
       one.increment(error)) {
    const std::string name = one->path().filename();
    PortHolder holder;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), holder.pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    if (!has_open(one->path(), sockets)) continue;
    holder.title = title_of(one->path());
    holders.push_back(std::move(holder));
  }
  std::ranges::sort(holders, {}, &PortHolder::pid);
  return holders;
}

std::string describe_port_holders(std::uint16_t port) {
  const std::vector<PortHolder> holders = find_port_holders(port);
  if (holders.empty()) {
    return fmt::format("another program holds the port (find it with: ss -ltnp 'sport = :{}')",
                       port);
  }
  std::string text = "the port is held by ";
  std::string pids;
  for (std::size_t i = 0; i < holders.size(); ++i) {
    pids += fmt::format(" {}", holders[i].pid);
    if (i == kMostNamed) text += ", ...";
    if (i >= kMostNamed) continue;
    text += fmt::format("{}{} ({})", i > 0 ? ", " : "", holders[i].pid, holders[i].title);
  }
  const bool left_behind = std::ranges::all_of(
      holders, [](const PortHolder& holder) { return holder.title.starts_with(kWorkerTitle); });
  if (!left_behind) return text;
  return text +
         ". An arbiter has left them behind: one that is started with its name and from its "
         "directory takes them over; or end them with: kill" +
         pids;
}

}  // namespace corn::os
