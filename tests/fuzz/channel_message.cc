// SPDX-License-Identifier: Apache-2.0
// Messages of the channel, read from a peer that may send anything: what is understood survives
// being written and read again, and nothing that is cut off is understood.
#include "base/check.h"
#include "base/message.h"

namespace corn::base {
namespace {

// The fixed part of a message, type and version, is enough for Unsupported.
constexpr std::size_t kHeaderBytes = 4;

void check_shortening(std::string_view text) {
  constexpr std::size_t kLimit = 100;
  const std::string cut = shorten_middle(text, kLimit);
  CORN_CHECK(cut.size() <= kLimit);
  CORN_CHECK(text.size() > kLimit || cut == text);
}

void test_one_input(std::string_view datagram) {
  check_shortening(datagram);
  const auto message = decode(datagram);
  if (!message) return;
  const auto bytes = encode(*message);
  CORN_CHECK(bytes.has_value());
  const auto again = decode(*bytes);
  CORN_CHECK(again.has_value());
  if (std::holds_alternative<Unsupported>(*message)) return;
  CORN_CHECK(again->index() == message->index());
  CORN_CHECK(*encode(*again) == *bytes);
  for (std::size_t size = kHeaderBytes; size < bytes->size() && size < 200; ++size) {
    CORN_CHECK(!decode(std::string_view(*bytes).substr(0, size)));
  }
}

}  // namespace
}  // namespace corn::base

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::base::test_one_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
