// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/text.h"

#include <gtest/gtest.h>

namespace corn::control {
namespace {

TEST(CleanText, WellFormedTextIsKept) {
  const std::string text = "plain, \u00e4, \u20ac, \U0001f33d\n\ttab";
  EXPECT_EQ(clean_text(text), text);
  EXPECT_EQ(clean_text(""), "");
}

TEST(CleanText, EachStrayByteBecomesAReplacementCharacter) {
  EXPECT_EQ(clean_text("a\xff"
                       "b"),
            "a\ufffd"
            "b");
  EXPECT_EQ(clean_text("\xc3"), "\ufffd");                                // cut short
  EXPECT_EQ(clean_text("\xc0\xaf"), "\ufffd\ufffd");                      // overlong
  EXPECT_EQ(clean_text("\xe0\x80\x80"), "\ufffd\ufffd\ufffd");            // overlong
  EXPECT_EQ(clean_text("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");            // surrogate
  EXPECT_EQ(clean_text("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");  // above U+10FFFF
}

TEST(CleanText, LongTextLosesItsMiddle) {
  const std::string text = "head" + std::string(1000, 'x') + "tail";
  const std::string cut = clean_text(text, 100);
  EXPECT_TRUE(cut.starts_with("head"));
  EXPECT_TRUE(cut.ends_with("tail"));
  EXPECT_NE(cut.find("908 bytes left out"), std::string::npos) << cut;
}

TEST(CleanText, CutsBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\u20ac";
  for (std::size_t limit = 20; limit < 40; ++limit) {
    const std::string cut = clean_text(text, limit);
    EXPECT_EQ(cut, clean_text(cut)) << "limit " << limit;
  }
}

TEST(StatusText, FitsAHeaderHoweverItIsEncoded) {
  for (const std::string& unit : {std::string("x"), std::string("\n"), std::string("\u20ac")}) {
    std::string text = "head";
    for (int i = 0; i < 20'000; ++i) text += unit;
    text += "tail";
    const std::string cut = status_text(text);
    std::size_t encoded = 0;
    for (const char byte : cut) encoded += byte >= 0x20 && byte <= 0x7e && byte != '%' ? 1 : 3;
    EXPECT_LE(encoded, 4096u);
    EXPECT_GE(encoded, 3000u);
    EXPECT_TRUE(cut.starts_with("head"));
    EXPECT_TRUE(cut.ends_with("tail"));
  }
  EXPECT_EQ(status_text("short\n"), "short\n");
}

}  // namespace
}  // namespace corn::control
