// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace corn::config {
namespace {

using Arguments = std::vector<std::string>;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// "NAME=VALUE" of everything given, or the complaint.
std::vector<std::string> given(const Arguments& arguments) {
  const base::Result<Layer> layer = parse_options(arguments, "command line");
  if (!layer) return {layer.error().message};
  std::vector<std::string> texts;
  for (const Given& entry : *layer) {
    texts.push_back(std::string(entry.setting->name) + "=" + entry.raw.text());
  }
  return texts;
}

TEST(CommandLine, TakesAllSpellingsOfAnOption) {
  for (const Arguments& spelling : std::vector<Arguments>{
           {"-w", "2"}, {"-w2"}, {"-w=2"}, {"--workers", "2"}, {"--workers=2"}}) {
    EXPECT_THAT(given(spelling), ElementsAre("workers=\"2\"")) << spelling[0];
  }
}

TEST(CommandLine, AnEmptyValueIsAValue) {
  EXPECT_THAT(given({"--pid=", "app"}), ElementsAre("pidfile=\"\"", "wsgi_app=\"app\""));
  EXPECT_THAT(given({"--pid", "", "app"}), ElementsAre("pidfile=\"\"", "wsgi_app=\"app\""));
}

TEST(CommandLine, ADashIsAValue) {
  EXPECT_THAT(given({"--access-logfile", "-", "app"}),
              ElementsAre("accesslog=\"-\"", "wsgi_app=\"app\""));
}

TEST(CommandLine, ValuesMayLookLikeAnything) {
  EXPECT_THAT(given({"-b", "[::1]"}), ElementsAre("bind=\"[::1]\""));
  EXPECT_THAT(given({"-e", "A=-b=c"}), ElementsAre("raw_env=\"A=-b=c\""));
  EXPECT_THAT(given({"-w", "-1"}), ElementsAre("workers=\"-1\""));
  EXPECT_THAT(given({"--access-logformat", "%(h)s \"%(r)s\""}),
              ElementsAre("access_log_format=\"%(h)s \\\"%(r)s\\\"\""));
}

TEST(CommandLine, RepeatedOptionsAddUpOnlyWhereTheyShould) {
  EXPECT_THAT(given({"-b", ":1", "-w", "2", "-b", ":2", "-w", "3"}),
              UnorderedElementsAre("bind=[\":1\", \":2\"]", "workers=\"3\""));
}

TEST(CommandLine, SwitchesStandAlone) {
  EXPECT_THAT(given({"-D", "--reuse-port", "app"}),
              ElementsAre("daemon=true", "reuse_port=true", "wsgi_app=\"app\""));
  EXPECT_THAT(given({"-DR", "-w2"}),
              ElementsAre("daemon=true", "enable_stdio_inheritance=true", "workers=\"2\""));
  EXPECT_THAT(given({"--no-sendfile"}), ElementsAre("sendfile=false"));
  EXPECT_THAT(given({"-D", "-D"}), ElementsAre("daemon=true"));
  EXPECT_EQ(given({"--daemon=false"}).size(), 1U);
  EXPECT_THAT(given({"--daemon=false"})[0], testing::StartsWith("command line: "));
}

TEST(CommandLine, AnOptionalValueMayBeMissing) {
  EXPECT_THAT(given({"--proxy-protocol", "-w", "2"}),
              ElementsAre("proxy_protocol=\"auto\"", "workers=\"2\""));
  EXPECT_THAT(given({"--proxy-protocol", "v1"}), ElementsAre("proxy_protocol=\"v1\""));
}

TEST(CommandLine, LongOptionsMayBeShortenedAsForGunicorn) {
  EXPECT_THAT(given({"--log-lev", "debug"}), ElementsAre("loglevel=\"debug\""));
  EXPECT_THAT(given({"--thr=4"}), ElementsAre("threads=\"4\""));
  EXPECT_THAT(given({"--daem"}), ElementsAre("daemon=true"));
}

TEST(CommandLine, OptionsAndTheApplicationComeInAnyOrder) {
  EXPECT_THAT(given({"app:create('x')", "-w", "2"}),
              UnorderedElementsAre("workers=\"2\"", "wsgi_app=\"app:create('x')\""));
  EXPECT_THAT(given({"-w", "2", "--", "-odd-"}),
              ElementsAre("workers=\"2\"", "wsgi_app=\"-odd-\""));
  EXPECT_THAT(given({}), IsEmpty());
}

TEST(CommandLine, UnknownOptionsAreNamedWithWhatIsNear) {
  EXPECT_THAT(given({"--wokers", "2"}),
              ElementsAre("command line: there is no option --wokers; did you mean --workers? "
                          "(`arbiterd --help` lists all)"));
  EXPECT_THAT(given({"--max-req=2"}),
              ElementsAre("command line: there is no option --max-req; did you mean "
                          "--max-requests? (`arbiterd --help` lists all)"));
  EXPECT_THAT(given({"-x"}),
              ElementsAre("command line: there is no option -x (`arbiterd --help` lists all)"));
}

TEST(CommandLine, MissingValuesAreNamedWithWhatIsWanted) {
  EXPECT_THAT(given({"-w"}), ElementsAre("command line: -w: a value is missing; a whole number "
                                         "from 1 to 1000 is wanted"));
  EXPECT_THAT(given({"--workers", "--threads", "2"}),
              ElementsAre("command line: --workers: a value is missing; a whole number from 1 to "
                          "1000 is wanted"));
  EXPECT_THAT(given({"-c"}), ElementsAre("command line: -c: a value is missing; the name of a "
                                         "configuration file is wanted"));
}

TEST(CommandLine, ThereIsOneApplication) {
  EXPECT_THAT(
      given({"a", "b"}),
      ElementsAre("command line: one application is wanted, but \"a\" and \"b\" are named"));
}

}  // namespace
}  // namespace corn::config
