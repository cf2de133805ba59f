// SPDX-License-Identifier: Apache-2.0
// Body decoder, chunked framing: the bytes at once and one by one give the same data, end and
// error.
#include <string>

#include "base/check.h"
#include "tests/fuzz/http_input.h"
#include "workerd/http/body_decoder.h"

namespace corn::http {
namespace {

struct Outcome {
  std::string data;
  DecodeStatus status = DecodeStatus::kNeedMore;
  std::size_t consumed = 0;
  std::string error;
};

// Decodes `input` in pieces of `piece_size` bytes.
Outcome decode(std::string_view input, std::size_t piece_size, const ParserOptions& options) {
  BodyDecoder decoder;
  decoder.begin(BodyFraming::kChunked, 0, options);
  Outcome outcome;
  while (!input.empty() && outcome.status == DecodeStatus::kNeedMore) {
    std::string_view piece = input.substr(0, piece_size);
    input.remove_prefix(piece.size());
    std::string_view data;
    do {
      const DecodeResult result = decoder.decode(piece, data);
      CORN_CHECK(result.consumed <= piece.size());
      piece.remove_prefix(result.consumed);
      outcome.consumed += result.consumed;
      outcome.data += data;
      outcome.status = result.status;
    } while (outcome.status == DecodeStatus::kData);
    CORN_CHECK(outcome.status != DecodeStatus::kNeedMore || piece.empty());
  }
  CORN_CHECK(decoder.decoded_bytes() == outcome.data.size());
  CORN_CHECK(decoder.complete() == (outcome.status == DecodeStatus::kComplete));
  if (decoder.error()) outcome.error = decoder.error()->log_text();
  return outcome;
}

void test_one_input(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input = read_fuzz_input(data, size);
  const ParserOptions options = fuzz_options(input.switches);
  const Outcome whole = decode(input.bytes, input.bytes.size(), options);
  const Outcome single = decode(input.bytes, 1, options);
  CORN_CHECK(whole.data == single.data);
  CORN_CHECK(whole.status == single.status);
  CORN_CHECK(whole.error == single.error);
  CORN_CHECK(whole.status != DecodeStatus::kComplete || whole.consumed == single.consumed);
}

}  // namespace
}  // namespace corn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::http::test_one_input(data, size);
  return 0;
}
