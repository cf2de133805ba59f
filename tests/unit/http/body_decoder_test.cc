// SPDX-License-Identifier: Apache-2.0
// What the corpus can't show: slices, counters and reuse.
#include "workerd/http/body_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace corn::http {
namespace {

class BodyDecoderTest : public testing::Test {
 protected:
  // Decodes all of `input`; returns the data.
  std::string decode_all(std::string_view input) {
    std::string all;
    std::string_view data;
    for (;;) {
      const DecodeResult result = decoder_.decode(input, data);
      input.remove_prefix(result.consumed);
      all += data;
      if (result.status != DecodeStatus::kData) {
        status_ = result.status;
        rest_ = input;
        return all;
      }
    }
  }

  ParserOptions options_;
  BodyDecoder decoder_;
  DecodeStatus status_ = DecodeStatus::kNeedMore;
  std::string_view rest_;
};

TEST_F(BodyDecoderTest, IsCompleteWithoutABody) {
  EXPECT_TRUE(decoder_.complete());
  EXPECT_EQ(decode_all("next"), "");
  EXPECT_EQ(status_, DecodeStatus::kComplete);
  EXPECT_EQ(rest_, "next");
  decoder_.begin(RequestHead{}, options_);
  EXPECT_TRUE(decoder_.complete());
  decoder_.begin(BodyFraming::kLength, 0, options_);
  EXPECT_TRUE(decoder_.complete());
  EXPECT_EQ(decoder_.remaining(), 0U);
}

TEST_F(BodyDecoderTest, HandsOutSlicesOfTheInput) {
  decoder_.begin(BodyFraming::kChunked, 0, options_);
  const std::string input = "5\r\nhello\r\n";
  std::string_view data;
  const DecodeResult result = decoder_.decode(input, data);
  EXPECT_EQ(result.status, DecodeStatus::kData);
  EXPECT_EQ(data.data(), input.data() + 3);
  EXPECT_EQ(data.size(), 5U);
  EXPECT_EQ(result.consumed, 8U);
}

TEST_F(BodyDecoderTest, CountsWhatRemainsOfALength) {
  decoder_.begin(BodyFraming::kLength, 10, options_);
  EXPECT_EQ(decoder_.remaining(), 10U);
  EXPECT_EQ(decode_all("0123"), "0123");
  EXPECT_EQ(status_, DecodeStatus::kNeedMore);
  EXPECT_EQ(decoder_.remaining(), 6U);
  EXPECT_EQ(decoder_.decoded_bytes(), 4U);
  EXPECT_EQ(decode_all("456789GET"), "456789");
  EXPECT_EQ(status_, DecodeStatus::kComplete);
  EXPECT_EQ(rest_, "GET");
  EXPECT_TRUE(decoder_.complete());
  EXPECT_EQ(decoder_.remaining(), 0U);
}

TEST_F(BodyDecoderTest, DoesNotKnowWhatRemainsOfChunks) {
  decoder_.begin(BodyFraming::kChunked, 0, options_);
  EXPECT_EQ(decoder_.remaining(), std::nullopt);
  EXPECT_EQ(decode_all("3\r\nabc\r\n"), "abc");
  EXPECT_EQ(decoder_.remaining(), std::nullopt);
  EXPECT_FALSE(decoder_.complete());
  EXPECT_EQ(decode_all("0\r\n\r\n"), "");
  EXPECT_EQ(decoder_.remaining(), 0U);
  EXPECT_EQ(decoder_.decoded_bytes(), 3U);
}

TEST_F(BodyDecoderTest, KeepsItsErrorAndIsAsNewAfterBegin) {
  decoder_.begin(BodyFraming::kChunked, 0, options_);
  EXPECT_EQ(decode_all("z\r\n"), "");
  EXPECT_EQ(status_, DecodeStatus::kError);
  ASSERT_TRUE(decoder_.error());
  EXPECT_EQ(decoder_.error()->status, 400);
  EXPECT_EQ(decode_all("1\r\n"), "");
  EXPECT_EQ(status_, DecodeStatus::kError);
  decoder_.begin(BodyFraming::kChunked, 0, options_);
  EXPECT_FALSE(decoder_.error());
  EXPECT_EQ(decode_all("1\r\na\r\n0\r\n\r\n"), "a");
  EXPECT_EQ(status_, DecodeStatus::kComplete);
}

TEST_F(BodyDecoderTest, AllowsExtensionsInProportionToData) {
  decoder_.begin(BodyFraming::kChunked, 0, options_);
  const std::string chunk =
      "400;" + std::string(1000, 'x') + "\r\n" + std::string(1024, 'd') + "\r\n";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(decode_all(chunk).size(), 1024U);
  EXPECT_EQ(status_, DecodeStatus::kNeedMore);
}

TEST_F(BodyDecoderTest, BoundsTheTrailerSectionAsAWhole) {
  options_.max_head_bytes = 100;
  decoder_.begin(BodyFraming::kChunked, 0, options_);
  decode_all("0\r\nA: 34567890123456789012345678901234567890\r\n");
  EXPECT_EQ(status_, DecodeStatus::kNeedMore);
  decode_all("B: 34567890123456789012345678901234567890123456789012345\r\n");
  EXPECT_EQ(status_, DecodeStatus::kError);
  EXPECT_EQ(decoder_.error()->status, 431);
}

}  // namespace
}  // namespace corn::http
