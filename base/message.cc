// SPDX-License-Identifier: Apache-2.0
#include "base/message.h"

#include <fmt/core.h>

#include "base/bytes.h"

namespace corn::base {

template <class A>
void fields(A& a, Configure& v) {
  a(v.config);
}
template <class A>
void fields(A& a, Drain& v) {
  a(v.grace), a(v.empty_backlog);
}
template <class A>
void fields(A&, ReopenLogs&) {}
template <class A>
void fields(A& a, Dump& v) {
  a(v.token), a(v.patience);
}
template <class A>
void fields(A& a, Ping& v) {
  a(v.token);
}
template <class A>
void fields(A& a, Hello& v) {
  a(v.pid), a(v.version);
}
template <class A>
void fields(A&, Ready&) {}
template <class A>
void fields(A& a, BootFailed& v) {
  a(v.kind), a(v.text);
}
template <class A>
void fields(A& a, Retiring& v) {
  a(v.cause);
}
template <class A>
void fields(A& a, ThreadStack& v) {
  a(v.thread_id), a(v.python);
}
template <class A>
void fields(A& a, DumpResult& v) {
  a(v.token), a(v.text), a(v.threads);
}
template <class A>
void fields(A& a, Pong& v) {
  a(v.token);
}
template <class A>
void fields(A& a, ConfigValue& v) {
  a(v.name), a(v.value), a(v.type), a(v.line);
}
template <class A>
void fields(A& a, ConfigValues& v) {
  a(v.values);
}
template <class A>
void fields(A& a, ConfigFailed& v) {
  a(v.text);
}
template <class A>
void fields(A& a, Unsupported& v) {
  a(v.type), a(v.version);
}

template <class A>
void fields(A& a, Offer& v) {
  a(v.worker_id), a(v.ready), a(v.retiring), a(v.listeners), a(v.hand_off);
}
template <class A>
void fields(A& a, EndOverdue& v) {
  a(v.limit), a(v.grace);
}

template <class A>
void fields(A& a, Fork& v) {
  a(v.token), a(v.has_identity), a(v.uid), a(v.gid), a(v.groups), a(v.has_umask), a(v.umask);
  a(v.descriptor_limit), a(v.environment);
}
template <class A>
void fields(A& a, RunHook& v) {
  a(v.token), a(v.name), a(v.arguments);
}
template <class A>
void fields(A& a, Leave& v) {
  a(v.status);
}
template <class A>
void fields(A& a, Forked& v) {
  a(v.token), a(v.pid);
}
template <class A>
void fields(A& a, ForkFailed& v) {
  a(v.token), a(v.text);
}
template <class A>
void fields(A& a, HookDone& v) {
  a(v.token), a(v.error);
}
template <class A>
void fields(A& a, LoadedFiles& v) {
  a(v.paths);
}
template <class A>
void fields(A& a, TakeLogs& v) {
  a(v.paths);
}

namespace {

// Type numbers are the alternatives' positions: append, never reorder.
template <std::size_t I = 0>
Result<Message> decode_as(std::uint16_t type, ByteReader& reader) {
  if constexpr (I < std::variant_size_v<Message>) {
    if (type != I) return decode_as<I + 1>(type, reader);
    std::variant_alternative_t<I, Message> value;
    fields(reader, value);
    if (!reader.complete()) return fail(fmt::format("malformed message of type {}", type));
    return Message(std::move(value));
  } else {
    return Message(Unsupported{type, kMessageVersion});
  }
}

}  // namespace

Result<std::string> encode(const Message& message) {
  ByteWriter writer;
  writer(static_cast<std::uint16_t>(message.index()));
  writer(kMessageVersion);
  std::visit([&](const auto& value) { writer(value); }, message);
  std::string bytes = writer.take();
  if (bytes.size() > kMaxMessageBytes) {
    return fail(fmt::format("a message of {} bytes is over the limit of {}", bytes.size(),
                            kMaxMessageBytes));
  }
  return bytes;
}

Result<Message> decode(std::string_view datagram) {
  ByteReader reader(datagram);
  std::uint16_t type = 0;
  std::uint16_t version = 0;
  reader(type);
  reader(version);
  if (!reader.ok()) return fail("a message shorter than its header");
  if (version != kMessageVersion) return Message(Unsupported{type, version});
  return decode_as(type, reader);
}

std::string shorten_middle(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return std::string(text);
  const std::string note = fmt::format("\n[... {} bytes left out ...]\n", text.size() - limit);
  const std::size_t keep = limit > note.size() ? limit - note.size() : 0;
  std::string out(text.substr(0, keep / 2));
  out += note;
  out += text.substr(text.size() - (keep - keep / 2));
  return out;
}

}  // namespace corn::base
