// SPDX-License-Identifier: Apache-2.0
// WebSocket decoder: the bytes at once, one by one and in larger pieces give the same messages, end
// and error; no message is over the limit, and text is UTF-8.
#include <string>

#include "base/check.h"
#include "tests/fuzz/http_input.h"
#include "workerd/http/utf8.h"
#include "workerd/http/websocket.h"

namespace corn::http {
namespace {

constexpr std::uint64_t kMost = 1000;

// Everything that was decoded, in words, from pieces of `piece_size` bytes.
std::string decode(std::string_view input, std::size_t piece_size) {
  WebSocketDecoder decoder(kMost);
  std::string story;
  while (!input.empty() && !decoder.error()) {
    std::string_view piece = input.substr(0, piece_size);
    input.remove_prefix(piece.size());
    while (const auto event = decoder.next(piece)) {
      CORN_CHECK(event->payload.size() <= kMost);
      if (event->kind == WebSocketEvent::Kind::kText) {
        Utf8Validator text;
        CORN_CHECK(text.feed(event->payload) && text.complete());
      }
      story += std::to_string(static_cast<int>(event->kind)) + " " + std::to_string(event->code) +
               " " + event->payload + "\n";
    }
    CORN_CHECK(decoder.held_bytes() <= kMost);
  }
  if (decoder.error()) story += std::to_string(decoder.error()->code) + decoder.error()->reason;
  return story;
}

void test_one_input(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input = read_fuzz_input(data, size);
  const std::string whole = decode(input.bytes, input.bytes.size());
  CORN_CHECK(whole == decode(input.bytes, 1));
  CORN_CHECK(whole == decode(input.bytes, 2 + input.switches % 16));
}

}  // namespace
}  // namespace corn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::http::test_one_input(data, size);
  return 0;
}
