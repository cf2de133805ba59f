// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace corn::base {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-log-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
  }
  void TearDown() override {
    ASSERT_TRUE(open_log({}));
    std::filesystem::remove_all(directory);
  }
  std::string path(const char* name) const { return (directory / name).string(); }
  static std::string content(const std::string& file) {
    std::ifstream in(file);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::filesystem::path directory;
};

TEST_F(LogTest, LinesHaveGunicornsShape) {
  ASSERT_TRUE(open_log({path("log"), LogLevel::kInfo, LogFormat::kText}));
  log_info("Booting worker with pid: {}", 13176);
  const std::regex shape(R"(\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[)" +
                         std::to_string(::getpid()) +
                         R"(\] \[INFO\] Booting worker with pid: 13176\n)");
  EXPECT_TRUE(std::regex_match(content(path("log")), shape)) << content(path("log"));
}

TEST_F(LogTest, LevelsBelowTheThresholdAreLeftOut) {
  ASSERT_TRUE(open_log({path("log"), LogLevel::kError, LogFormat::kText}));
  log_warning("not this");
  log_error("this");
  EXPECT_EQ(content(path("log")).find("not this"), std::string::npos);
  EXPECT_NE(content(path("log")).find("this"), std::string::npos);
}

TEST_F(LogTest, NothingReachesATerminalButText) {
  ASSERT_TRUE(open_log({path("log"), LogLevel::kInfo, LogFormat::kText}));
  log_info("{}", "caf\xc3\xa9 \xe2\x82\xac\ta\nb | \x1b[2J \x9b \xc2\x9b \xe9 \x7f \xed\xa0\x80");
  const std::string line = content(path("log"));
  EXPECT_NE(line.find("caf\xc3\xa9 \xe2\x82\xac\ta\nb | \\x1b[2J \\x9b \\xc2\\x9b \\xe9 \\x7f "
                      "\\xed\\xa0\\x80\n"),
            std::string::npos)
      << line;
}

TEST(Printable, IsAsciiAndUnambiguous) {
  EXPECT_EQ(printable("/a?b=%20\"c\" d"), "/a?b=%20\"c\" d");
  EXPECT_EQ(printable("/\xe9\x9b\\x9b\n"), "/\\xe9\\x9b\\\\x9b\\x0a");
}

TEST_F(LogTest, JsonIsOneObjectALine) {
  ASSERT_TRUE(open_log({path("log"), LogLevel::kInfo, LogFormat::kJson}));
  log_info("{}", "a \"quoted\"\ntraceback\x01");
  const std::string line = content(path("log"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find(R"("message":"a \"quoted\"\ntraceback\u0001"})"), std::string::npos) << line;
}

TEST_F(LogTest, ControlCharactersCannotForgeALine) {
  ASSERT_TRUE(open_log({path("log"), LogLevel::kInfo, LogFormat::kText}));
  log_info("{}", "GET /\r\x1b[2J");
  EXPECT_NE(content(path("log")).find("GET /\\x0d\\x1b[2J"), std::string::npos);
}

TEST_F(LogTest, ReopenWritesToTheNewFileAfterRotation) {
  ASSERT_TRUE(open_log({path("log"), LogLevel::kInfo, LogFormat::kText}));
  log_info("before");
  std::filesystem::rename(path("log"), path("log.1"));
  ASSERT_TRUE(reopen_log());
  log_info("after");
  EXPECT_EQ(content(path("log")).find("before"), std::string::npos);
  EXPECT_NE(content(path("log")).find("after"), std::string::npos);
  EXPECT_NE(content(path("log.1")).find("before"), std::string::npos);
}

TEST_F(LogTest, FilesThatAreOpenAlreadyAreTakenWhateverTheName) {
  const auto make = [this](const char* name) {
    return UniqueFd(::open(path(name).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  };
  ASSERT_TRUE(open_log({path("missing/log"), LogLevel::kInfo, LogFormat::kText}, make("one")));
  log_info("before");
  const int number = log_descriptor();
  {
    const UniqueFd two = make("two");
    ASSERT_TRUE(reopen_log(two.get()));
  }
  log_info("after");
  EXPECT_EQ(log_descriptor(), number);
  EXPECT_NE(content(path("one")).find("before"), std::string::npos);
  EXPECT_NE(content(path("two")).find("after"), std::string::npos);
}

TEST_F(LogTest, UnwritablePathIsAnErrorNamingIt) {
  const auto status = open_log({path("missing/log"), LogLevel::kInfo, LogFormat::kText});
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("missing/log"), std::string::npos);
}

}  // namespace
}  // namespace corn::base
