// SPDX-License-Identifier: Apache-2.0
// Takes the framing off a request's body. Data is handed out as slices of the input, never copied.
//
//   std::string_view data;
//   for (;;) {
//     const DecodeResult result = decoder.decode(input, data);
//     input.remove_prefix(result.consumed);
//     use(data);                                            // empty unless kData
//     if (result.status != DecodeStatus::kData) break;
//   }
//
// Chunked framing is read strictly (RFC 9112 section 7.1): hexadecimal size without sign, prefix or
// surrounding space, well-formed extensions (ignored) within limits, CRLF alone as line end.
// Trailer fields are checked like fields of a head, with the same limits, and dropped; those that
// would change framing, routing or authentication are refused (RFC 9110 section 6.5.1). What
// decode() says depends on the bytes alone, not on how they were cut into reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "workerd/http/error.h"
#include "workerd/http/limits.h"
#include "workerd/http/request_head.h"

namespace corn::http {

enum class DecodeStatus : std::uint8_t {
  kNeedMore,  // all input consumed, the body goes on
  kData,      // `data` holds some of the body; call again
  kComplete,  // the body is over; what follows `consumed` belongs to the next request
  kError,     // see error(); nothing more can be decoded
};

struct DecodeResult {
  std::size_t consumed = 0;
  DecodeStatus status = DecodeStatus::kNeedMore;
};

class BodyDecoder {
 public:
  // A decoder for a request without a body; complete from the start.
  BodyDecoder() = default;

  // `options` must outlive the decoder (trailer limits).
  void begin(const RequestHead& head, const ParserOptions& options);
  void begin(BodyFraming framing, std::uint64_t content_length, const ParserOptions& options);

  // `data` is set to a slice of `input` with kData and to nothing otherwise.
  DecodeResult decode(std::string_view input, std::string_view& data);

  [[nodiscard]] bool complete() const { return state_ == State::kComplete; }
  [[nodiscard]] const std::optional<ProtocolError>& error() const { return error_; }
  // Bytes of the body still to come, where that is known: length framing.
  [[nodiscard]] std::optional<std::uint64_t> remaining() const;
  // Bytes of data handed out.
  [[nodiscard]] std::uint64_t decoded_bytes() const { return decoded_; }

 private:
  enum class State : std::uint8_t {
    kComplete,
    kLengthData,
    kChunkLine,    // up to the end of a chunk-size line
    kChunkData,    // remaining_ bytes of the chunk
    kChunkDataCr,  // CR after a chunk's data
    kChunkDataLf,  // LF after it
    kTrailerLine,  // up to the end of a trailer field or of the empty line
    kError,
  };

  // Each takes bytes of `input` from `consumed` on.
  void take_data(std::string_view input, std::size_t& consumed, std::string_view& data);
  void take_byte(std::string_view input, std::size_t& consumed, char expected, State next);
  // Moves a line into line_, without its CRLF. True when it is whole; `limit` counts its CRLF.
  bool take_line(std::string_view input, std::size_t& consumed, std::size_t limit);
  void on_chunk_line();
  void on_trailer_line();
  void refuse(int status, std::string_view reason, std::string_view bytes = {});

  const ParserOptions* options_ = nullptr;
  State state_ = State::kComplete;
  bool after_carriage_return_ = false;  // of the line being taken
  std::uint64_t remaining_ = 0;         // of the body (kLengthData) or of the chunk
  std::uint64_t decoded_ = 0;
  std::uint64_t extension_bytes_ = 0;
  std::size_t trailer_fields_ = 0;
  std::size_t field_bytes_ = 0;    // of the trailer field so far, folded lines and CRLFs included
  std::size_t trailer_bytes_ = 0;  // of the trailer section so far, CRLFs included
  std::string line_;               // the line so far; bounded by the limits
  std::optional<ProtocolError> error_;
};

}  // namespace corn::http
