// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/pool_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "arbiterd/os/users.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// A running listener of that address that `taken` doesn't have yet (port 0 may be asked for twice).
ListenerPtr find_open(const std::map<std::string, PoolRuntime>& running,
                      const os::BindAddress& address, const std::vector<ListenerPtr>& taken) {
  for (const auto& [name, pool] : running) {
    for (const auto& [number, generation] : pool.generations) {
      for (const ListenerPtr& listener : generation.listeners) {
        if (listener->address() == address && !std::ranges::count(taken, listener)) return listener;
      }
    }
  }
  return nullptr;
}

base::Result<ListenerPtr> open_one(const config::PoolSettings& pool,
                                   const os::BindAddress& address) {
  os::ListenOptions options;
  options.backlog = static_cast<int>(pool.backlog);
  options.reuse_port = pool.reuse_port;
  options.umask = static_cast<mode_t>(pool.umask.value_or(0));
  auto identity = os::resolve_identity(pool.user, pool.group);
  if (!identity) return tl::unexpected(identity.error());
  if (*identity) options.owner = os::FileOwner{(*identity)->uid, (*identity)->gid};
  auto listener = os::Listener::open(address, options);
  if (!listener) return tl::unexpected(listener.error());
  return std::make_shared<os::Listener>(std::move(*listener));
}

// A listener of ours on the same port, if `address` is one of TCP: what else holds the port must be
// somebody else's.
ListenerPtr find_same_port(const std::map<std::string, PoolRuntime>& running,
                           const std::vector<ListenerPtr>& opened, const os::BindAddress& address) {
  const auto same_port = [&address](const ListenerPtr& other) {
    return other->address().kind == os::BindAddress::Kind::kTcp &&
           other->address().port == address.port;
  };
  if (address.kind != os::BindAddress::Kind::kTcp) return nullptr;
  const auto found = std::find_if(opened.begin(), opened.end(), same_port);
  if (found != opened.end()) return *found;
  for (const auto& [name, pool] : running) {
    for (const auto& [number, generation] : pool.generations) {
      const auto held =
          std::find_if(generation.listeners.begin(), generation.listeners.end(), same_port);
      if (held != generation.listeners.end()) return *held;
    }
  }
  return nullptr;
}

// A listener of `running`, else a new one.
base::Result<ListenerPtr> open_unless_taken(const config::PoolSettings& pool,
                                            const os::BindAddress& address,
                                            const std::map<std::string, PoolRuntime>& running,
                                            const std::vector<ListenerPtr>& taken) {
  for (const ListenerPtr& other : taken) {
    if (other->address() != address || address.port == 0) continue;
    return base::fail("pool " + pool.spec.name + ": bind: " + address.text() +
                      " is given twice; every address belongs to one pool, once");
  }
  if (ListenerPtr listener = find_open(running, address, taken)) return listener;
  auto fresh = open_one(pool, address);
  const ListenerPtr ours = !fresh && fresh.error().os_errno == EADDRINUSE
                               ? find_same_port(running, taken, address)
                               : nullptr;
  if (!ours) return fresh;
  return base::fail(
      fmt::format("pool {}: bind: cannot listen on {}: {} has the same port and is this arbiter's "
                  "own{}; one address covers the other: keep one of them",
                  pool.spec.name, address.text(), ours->address().text(),
                  std::count(taken.begin(), taken.end(), ours) > 0 ? ", named by the same settings"
                                                                   : " since before this reload"),
      EADDRINUSE);
}

// Every listener of the running pools that came by socket activation, once.
std::vector<ListenerPtr> running_activated(const std::map<std::string, PoolRuntime>& running) {
  std::vector<ListenerPtr> found;
  for (const auto& [name, pool] : running) {
    for (const auto& [number, generation] : pool.generations) {
      for (const ListenerPtr& listener : generation.listeners) {
        if (listener->address().activated && !std::ranges::count(found, listener)) {
          found.push_back(listener);
        }
      }
    }
  }
  return found;
}

bool names(const config::PoolSettings& pool, const os::BindAddress& inherited) {
  return std::ranges::any_of(pool.binds, [&](const std::string& bind) {
    const auto address = os::parse_bind_address(bind);
    return address && address->kind == inherited.kind &&
           address->descriptor == inherited.descriptor;
  });
}

// The sockets of socket activation that the first pool serves; none: it serves its `bind`.
base::Result<std::vector<ListenerPtr>> activated_listeners(
    const config::Settings& settings, const std::map<std::string, PoolRuntime>& running,
    const std::vector<os::BindAddress>& inherited) {
  std::vector<ListenerPtr> before = running_activated(running);
  if (inherited.empty()) return before;
  std::vector<ListenerPtr> listeners;
  for (const os::BindAddress& address : inherited) {
    const bool of_another =
        std::any_of(settings.pools.begin() + 1, settings.pools.end(),
                    [&](const config::PoolSettings& pool) { return names(pool, address); });
    if (of_another) continue;
    auto fresh = open_one(settings.pools.front(), address);
    if (!fresh) return tl::unexpected(fresh.error());
    // The service manager passes its sockets to each process anew; orphans have brought the same.
    const auto same = std::ranges::find_if(before, [&](const ListenerPtr& listener) {
      return os::socket_inode(listener->descriptor()) == os::socket_inode((*fresh)->descriptor());
    });
    listeners.push_back(same != before.end() ? *same : std::move(*fresh));
  }
  return listeners;
}

// A sentence for each address that the pool names and that nobody listens on now.
std::vector<std::string> ignored_binds(const config::PoolSettings& pool,
                                       const std::vector<ListenerPtr>& activated) {
  const auto setting = std::ranges::find(pool.effective, "bind", &config::EffectiveValue::name);
  if (setting == pool.effective.end() || setting->origin == "default") return {};
  std::vector<std::string> notes;
  for (const std::string& bind : pool.binds) {
    const auto address = os::parse_bind_address(bind);
    if (!address || std::ranges::any_of(activated, [&](const ListenerPtr& listener) {
          return listener->is_at(*address);
        })) {
      continue;
    }
    notes.push_back(setting->origin + ": bind " + bind +
                    " has no effect: the sockets of socket activation are served instead");
  }
  return notes;
}

}  // namespace

void note_last_request(const base::ScoreboardView& left, core::ExitStatus& end) {
  std::optional<base::TimePoint> oldest;
  for (const base::SlotView& slot : left.slots) {
    if (slot.method.empty()) continue;
    if (slot.request_start ? oldest && *oldest <= *slot.request_start : end.in_request) continue;
    end.request = base::printable(slot.method) + ' ' + base::printable(slot.target);
    end.in_request = slot.request_start.has_value();
    oldest = slot.request_start;
  }
}

void PoolTotals::add(const base::ScoreboardView& view) {
  requests += view.requests;
  errors += view.errors;
  for (std::size_t i = 0; i < latency.size(); ++i) latency[i] += view.latency[i];
}

void PoolTotals::add_cut_off(const base::ScoreboardView& left, base::TimePoint ended) {
  requests += left.in_flight;
  errors += left.in_flight;
  for (const base::SlotView& slot : left.slots) {
    if (slot.request_start) ++latency[base::latency_bucket(ended - *slot.request_start)];
  }
}

double PoolTotals::latency_ms(double quantile) const {
  std::uint64_t count = 0;
  for (const std::uint64_t n : latency) count += n;
  if (count == 0) return 0;
  const double rank = quantile * static_cast<double>(count);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < latency.size(); ++i) {
    below += latency[i];
    if (static_cast<double>(below) >= rank) {
      return std::chrono::duration<double, std::milli>(base::latency_bucket_bound(i)).count();
    }
  }
  return 0;
}

void stop_listening(PoolRuntime& pool) {
  for (auto& [number, generation] : pool.generations) generation.listeners.clear();
}

base::Result<LoadedSettings> open_listeners(config::Settings settings,
                                            const std::map<std::string, PoolRuntime>& running,
                                            const std::vector<os::BindAddress>& inherited,
                                            std::vector<std::string>* missing) {
  LoadedSettings loaded;
  auto activated = activated_listeners(settings, running, inherited);
  if (!activated) return tl::unexpected(activated.error());
  if (!activated->empty()) {
    for (std::string& note : ignored_binds(settings.pools.front(), *activated)) {
      settings.notes.push_back(std::move(note));
    }
  }
  std::vector<ListenerPtr> opened;
  for (std::size_t i = 0; i < settings.pools.size(); ++i) {
    const config::PoolSettings& pool = settings.pools[i];
    PoolGeneration generation{pool, {}, {}};
    if (i == 0 && !activated->empty()) {
      generation.listeners = *activated;
      loaded.pools.emplace(pool.spec.name, std::move(generation));
      continue;
    }
    std::vector<os::BindAddress> addresses;
    for (const std::string& bind : pool.binds) {
      auto address = os::parse_bind_address(bind);
      if (!address) return tl::unexpected(address.error());
      addresses.push_back(std::move(*address));
    }
    for (const os::BindAddress& address : addresses) {
      auto listener = open_unless_taken(pool, address, running, opened);
      if (!listener && missing == nullptr) return tl::unexpected(listener.error());
      if (!listener) {
        missing->push_back(listener.error().message);
        continue;
      }
      opened.push_back(*listener);
      generation.listeners.push_back(std::move(*listener));
    }
    loaded.pools.emplace(pool.spec.name, std::move(generation));
  }
  loaded.settings = std::move(settings);
  return loaded;
}

}  // namespace corn::driver
