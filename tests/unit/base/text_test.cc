// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/json_text.h"
#include "base/named_format.h"

namespace corn::base {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_text(text, out);
  return out;
}

TEST(JsonText, WhatIsNoUtf8IsWrittenByteByByte) {
  EXPECT_EQ(json("a\"b\\\n\t\x01\x7f"), "a\\\"b\\\\\\n\\t\\u0001\\u007f");
  for (const char* good : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\xbd", "\xed\x9f\xbf"}) {
    EXPECT_EQ(json(good), good);
  }
  EXPECT_EQ(json("\xff"), "\\u00ff");
  EXPECT_EQ(json("\xc3"), "\\u00c3");
  EXPECT_EQ(json("\xc3("), "\\u00c3(");
  EXPECT_EQ(json("\xc0\xaf"), "\\u00c0\\u00af");                        // longer than needed
  EXPECT_EQ(json("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080");             // a surrogate
  EXPECT_EQ(json("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080");  // beyond U+10FFFF
  EXPECT_EQ(json("\xe2\x82"), "\\u00e2\\u0082");
}

TEST(NamedFormat, IsTakenToPieces) {
  const auto pieces = parse_named_format("a%%%(h)s b%({X}i)-10.3d");
  ASSERT_TRUE(pieces);
  ASSERT_EQ(pieces->size(), 4U);
  EXPECT_EQ((*pieces)[0].text, "a%");
  EXPECT_TRUE((*pieces)[1].named);
  EXPECT_EQ((*pieces)[1].text, "h");
  EXPECT_EQ((*pieces)[2].text, " b");
  EXPECT_EQ((*pieces)[3].text, "{X}i");
  EXPECT_EQ((*pieces)[3].width, 10U);
  EXPECT_TRUE((*pieces)[3].left);
  EXPECT_EQ((*pieces)[3].precision, 3U);
}

TEST(NamedFormat, WhatIsWrongIsShown) {
  for (const char* wrong : {"%", "%h", "%(h", "%(h)", "%(h)x", "%(h)r", "%(h)99999s", "%(h)5"}) {
    const auto pieces = parse_named_format(wrong);
    ASSERT_FALSE(pieces) << wrong;
    EXPECT_NE(pieces.error().message.find(wrong), std::string::npos);
    EXPECT_NE(pieces.error().message.find("a percent sign is written %%"), std::string::npos);
  }
}

}  // namespace
}  // namespace corn::base
