// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace corn::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The expected words are those of Python's shlex.split(), which gunicorn reads GUNICORN_CMD_ARGS
// with.
TEST(ShellWords, AreSplitAsShlexDoes) {
  EXPECT_THAT(*shell_words(""), IsEmpty());
  EXPECT_THAT(*shell_words("  -w 2\t-b\n:80 "), ElementsAre("-w", "2", "-b", ":80"));
  EXPECT_THAT(*shell_words("--env 'A=b c' x\"y z\"w"), ElementsAre("--env", "A=b c", "xy zw"));
  EXPECT_THAT(*shell_words("'' \"\""), ElementsAre("", ""));
  EXPECT_THAT(*shell_words(R"(a\ b \" "\"" '\' "\a")"),
              ElementsAre("a b", "\"", "\"", "\\", "\\a"));
}

TEST(ShellWords, RefuseAnUnfinishedQuotation) {
  EXPECT_EQ(shell_words("-e 'A=b").error().message, "a quotation that begins with ' has no end");
  EXPECT_EQ(shell_words("a\\").error().message, "nothing follows the last backslash");
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string_view> names = {"workers", "worker_class", "threads", "timeout"};
  EXPECT_EQ(nearest("worker", names), "workers");
  EXPECT_EQ(nearest("wrokers", names), "workers");
  EXPECT_EQ(nearest("Worker-Class", names), "worker_class");
  EXPECT_EQ(nearest("time_out", names), "timeout");
  EXPECT_EQ(nearest("database_url", names), "");
  EXPECT_EQ(nearest(std::string(5000, 'w'), names), "");
}

TEST(Wrapped, BreaksAtSpaces) {
  EXPECT_THAT(wrapped("aa bb cc", 5), ElementsAre("aa bb", "cc"));
  EXPECT_THAT(wrapped("a longword b", 4), ElementsAre("a", "longword", "b"));
  EXPECT_THAT(wrapped("", 5), IsEmpty());
}

}  // namespace
}  // namespace corn::config
