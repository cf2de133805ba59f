// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include "cornctl_fixture.h"
#include "ctl/manual.h"

namespace corn::ctl {
namespace {

class CommandLineTest : public CornctlTest {};

TEST_F(CommandLineTest, MistakesAreStatus2WithASentence) {
  environment_["CORN_CONTROL"] = "unix:/nonexistent";
  const std::vector<std::vector<std::string>> mistakes = {
      {},
      {"frobnicate"},
      {"status", "--colour"},
      {"status", "a", "b"},
      {"scale"},
      {"scale", "two"},
      {"scale", "+"},
      {"scale", "+-2"},
      {"scale", "99999999999"},
      {"scale", "web", "2", "3"},
      {"kill"},
      {"kill", "abc"},
      {"kill", "0"},
      {"restart", "-5"},
      {"config"},
      {"config", "check"},
      {"completion", "tcsh"},
      {"--timeout", "soon", "status"},
      {"--timeout", "0", "status"},
      {"--control", "unix:/x", "-i", "y", "status"},
      {"--control", "localhost:9000", "status"},
      {"help", "frobnicate"}};
  for (const std::vector<std::string>& arguments : mistakes) {
    const Ended run = cornctl(arguments);
    std::string line;
    for (const std::string& word : arguments) line += " " + word;
    EXPECT_EQ(run.status, 2) << "cornctl" << line << ": " << run.err;
    EXPECT_TRUE(run.err.starts_with("cornctl: ")) << line << ": " << run.err;
    EXPECT_EQ(run.out, "") << line;
  }
}

TEST_F(CommandLineTest, AMistakenNumberIsNamedWithWhatIsWanted) {
  environment_["CORN_CONTROL"] = "unix:/nonexistent";
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes = {
      {{"kill", "abc"}, "'abc' is no worker: its pid is wanted"},
      {{"restart", "0"}, "'0' is no worker: its pid is wanted"},
      {{"dump", "99999999999"}, "'99999999999' is no worker: its pid is wanted"},
      {{"events", "-n", "x"}, "'x' is no number of events: 1 or more is wanted"},
      {{"events", "--after", "1.5"}, "'1.5' is no event's number"}};
  for (const auto& [arguments, complaint] : mistakes) {
    const Ended run = cornctl(arguments);
    EXPECT_EQ(run.status, 2) << run.err;
    EXPECT_NE(run.err.find(complaint), std::string::npos) << run.err;
  }
}

TEST_F(CommandLineTest, HelpOfEveryCommandFits80Columns) {
  std::vector<std::vector<std::string>> helps = {{"--help"}, {"help"}, {"-h"}};
  for (const CommandManual& manual : command_manuals()) {
    helps.push_back({"help", std::string(manual.name)});
    helps.push_back({std::string(manual.name), "--help"});
  }
  for (const std::vector<std::string>& arguments : helps) {
    const Ended run = cornctl(arguments);
    EXPECT_EQ(run.status, 0) << run.err;
    EXPECT_NE(run.out.find("Usage: cornctl"), std::string::npos) << run.out;
    std::istringstream lines(run.out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST_F(CommandLineTest, VersionNeedsNoArbiterButShowsItsToo) {
  environment_["CORN_CONTROL"] = "unix:/nonexistent";
  EXPECT_EQ(cornctl({"version"}).out, "cornctl " CORN_VERSION "\n");
  EXPECT_EQ(cornctl({"--version"}).out, "cornctl " CORN_VERSION "\n");
  EXPECT_EQ(cornctl({"version", "--json"}).out, "{\"version\":\"" CORN_VERSION "\"}\n");
  EXPECT_EQ(cornctl({"version", "--control", "unix:/nonexistent"}).status, 3);
  start();
  EXPECT_EQ(cornctl({"version", "-i", "hello"}).out,
            "cornctl " CORN_VERSION "\narbiter 0.1.0 (hello, pid 100)\n");
}

TEST_F(CommandLineTest, CompletionScriptsAreValidAndKnowEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Ended run = cornctl({"completion", shell});
    EXPECT_EQ(run.status, 0);
    EXPECT_NE(run.out.find("reopen-logs"), std::string::npos);
  }
  const std::string script = "eval \"$(" CORN_BINARY_DIR
                             "/bin/cornctl completion bash)\"; COMP_WORDS=(cornctl re); "
                             "COMP_CWORD=1; _cornctl; echo \"${COMPREPLY[*]}\"";
  const std::string command = "bash -c '" + script + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(::popen(command.c_str(), "r"), ::pclose);
  std::array<char, 256> line{};
  ASSERT_NE(std::fgets(line.data(), line.size(), output.get()), nullptr);
  EXPECT_EQ(std::string(line.data()), "reload restart reopen-logs\n");
}

}  // namespace
}  // namespace corn::ctl
