// SPDX-License-Identifier: Apache-2.0
// A whole connection, PROXY header to last body: the events don't depend on how the bytes are cut.
// Input after the switches: one byte that decides about cuts and PROXY header, then what the client
// sends.
#include <algorithm>
#include <random>

#include "base/check.h"
#include "tests/fuzz/http_input.h"
#include "tests/http_corpus/replay.h"

namespace corn::http {
namespace {

void test_one_input(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return;
  const FuzzInput input = read_fuzz_input(data, size);
  const auto second = static_cast<std::uint8_t>(input.bytes.front());
  const std::string_view bytes = input.bytes.substr(1);

  ReplayOptions options;
  options.parser = fuzz_options(input.switches);
  options.parser.forwarder_headers = {"SCRIPT_NAME"};
  if ((input.switches & kFuzzTrusted) != 0) options.trust = PeerTrust::kTrusted;
  options.proxy = static_cast<ProxyProtocolMode>(second % 4);

  Replay whole(options);
  whole.receive(bytes);
  Replay pieces(options);
  std::minstd_rand random(second);
  for (std::string_view rest = bytes; !rest.empty();) {
    const std::size_t piece = 1 + random() % std::min<std::size_t>(rest.size(), 8);
    pieces.receive(rest.substr(0, piece));
    rest.remove_prefix(piece);
  }
  CORN_CHECK(whole.events() == pieces.events());
}

}  // namespace
}  // namespace corn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::http::test_one_input(data, size);
  return 0;
}
