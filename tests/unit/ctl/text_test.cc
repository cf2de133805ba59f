// SPDX-License-Identifier: Apache-2.0
#include "ctl/text.h"

#include <gtest/gtest.h>

namespace corn::ctl {
namespace {

TEST(Text, DurationsStayNarrow) {
  EXPECT_EQ(duration(-1), "0s");
  EXPECT_EQ(duration(59.9), "59s");
  EXPECT_EQ(duration(61), "1m01s");
  EXPECT_EQ(duration(3725), "1h02m");
  EXPECT_EQ(duration(93784), "1d02h");
}

TEST(Text, BytesAreInPowersOf1024) {
  EXPECT_EQ(bytes(0), "0");
  EXPECT_EQ(bytes(999), "999");
  EXPECT_EQ(bytes(1000), "1.0K");
  EXPECT_EQ(bytes(1536), "1.5K");
  EXPECT_EQ(bytes(44ULL << 20U), "44M");
  EXPECT_EQ(bytes(1023ULL << 20U), "1.0G");
  EXPECT_EQ(bytes(5ULL << 50U), "5120T");
}

TEST(Text, CountsAreExactUntilTheyAreLong) {
  EXPECT_EQ(count(999'999), "999999");
  EXPECT_EQ(count(12'345'678), "12.3M");
  EXPECT_EQ(count(1'000'000'000), "1.0G");
}

TEST(Text, MillisecondsBecomeSeconds) {
  EXPECT_EQ(milliseconds(1.25), "1.2 ms");
  EXPECT_EQ(milliseconds(48), "48 ms");
  EXPECT_EQ(milliseconds(2500), "2.5 s");
}

TEST(Text, FitCutsToColumnsNotBytes) {
  EXPECT_EQ(fit("abc", 3), "abc");
  EXPECT_EQ(fit("abcd", 3), "ab…");
  EXPECT_EQ(fit("äöü", 3), "äöü");
  EXPECT_EQ(fit("äöüß", 3), "äö…");
  EXPECT_EQ(fit("one line\nmore", 20), "one line…");
  EXPECT_EQ(fit("one line\n", 20), "one line");
  EXPECT_EQ(fit("x", 0), "");
}

TEST(Text, ControlCharactersCannotReachTheTerminal) {
  EXPECT_EQ(harmless("a\033[2Jb\r\x7f"), "a\\x1b[2Jb\\x0d\\x7f");
  EXPECT_EQ(harmless("tab\tline\n"), "tab\tline\n");
  EXPECT_EQ(harmless("\u009b2J"), "\\x9b2J");
  EXPECT_EQ(harmless("ä€"), "ä€");
}

}  // namespace
}  // namespace corn::ctl
