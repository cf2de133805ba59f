// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

namespace corn::server {
namespace {

class AccessFormatTest : public ::testing::Test {
 protected:
  AccessFormatTest() {
    head_.method = "GET";
    head_.target = "/a%20b?q=1";
    head_.path = "/a%20b";
    head_.query = "q=1";
    head_.fields = {{"User-Agent", "curl/8"}, {"Referer", "http://there/"}, {"X-Id", "42"}};
    record_.head = &head_;
    record_.remote_host = "192.0.2.7";
    record_.status = 200;
    record_.response_head = "HTTP/1.1 200 OK\r\nServer: corn\r\nContent-Type: text/plain\r\n\r\n";
    record_.body_bytes = 14;
    record_.duration = std::chrono::microseconds(2'345'678);
  }
  std::string line(std::string_view format,
                   AccessFormat::Escape escape = AccessFormat::Escape::kText) {
    auto compiled = AccessFormat::compile(format, escape);
    EXPECT_TRUE(compiled) << compiled.error().message;
    std::string out;
    compiled->append(record_, {"[T]", "ISO"}, out);
    EXPECT_EQ(out.back(), '\n');
    out.pop_back();
    return out;
  }
  http::RequestHead head_;
  AccessRecord record_;
};

TEST_F(AccessFormatTest, DefaultIsGunicornsCombinedFormat) {
  EXPECT_EQ(line(kDefaultAccessFormat),
            R"(192.0.2.7 - - [T] "GET /a%20b?q=1 HTTP/1.1" 200 14 "http://there/" "curl/8")");
}

TEST_F(AccessFormatTest, EveryAtomIsWritten) {
  EXPECT_EQ(line("%(m)s %(U)s %(q)s %(H)s %(s)s %(st)s %(B)s"), "GET /a b q=1 HTTP/1.1 200 200 14");
  EXPECT_EQ(line("%(T)s %(M)s %(D)s %(L)s"), "2 2345 2345678 2.345678");
  EXPECT_EQ(line("%(p)s"), "<" + std::to_string(::getpid()) + ">");
  EXPECT_EQ(line("%(t)s %(time)s %(pid)s"), "[T] ISO " + std::to_string(::getpid()));
  EXPECT_EQ(line("%({x-ID}i)s %({content-type}o)s %({wsgi.url_scheme}e)s"), "42 text/plain -");
  EXPECT_EQ(line("100%% %(nobody)s %({missing}i)s %({missing}o)s"), "100% - - -");
}

TEST_F(AccessFormatTest, UserOfBasicAuthenticationIsDecoded) {
  head_.fields.push_back({"Authorization", "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="});
  EXPECT_EQ(line("%(u)s"), "Aladdin");
}

TEST_F(AccessFormatTest, ClientCannotForgeALineOrAField) {
  head_.fields = {{"User-Agent", "a\" \"b\\\n\x01\xc3\xa9"}};
  EXPECT_EQ(line(R"("%(a)s")"), R"("a\" \"b\\\x0a\x01\xc3\xa9")");
  head_.path = "/%0a%22";
  EXPECT_EQ(line("%(U)s"), R"(/\x0a\")");
}

TEST_F(AccessFormatTest, RequestThatWasNotUnderstoodIsADash) {
  record_.head = nullptr;
  record_.remote_host = "";
  record_.status = 400;
  EXPECT_EQ(line("%(h)s %(r)s %(m)s %(U)s %(s)s"), "- - - - 400");
}

TEST_F(AccessFormatTest, VariablesAreTheRuntimes) {
  auto format = AccessFormat::compile("%(h)s %({x.User}e)s %(U)s %({x.User}e)s %({other}e)s");
  ASSERT_TRUE(format);
  EXPECT_EQ(std::vector<std::string>(format->variables().begin(), format->variables().end()),
            (std::vector<std::string>{"REMOTE_ADDR", "x.User", "PATH_INFO", "other"}));
  const std::vector<std::string> values{"203.0.113.9", "J\xfcrgen\n\"", "/rest", ""};
  record_.variables = values;
  std::string out;
  format->append(record_, {}, out);
  EXPECT_EQ(out, "203.0.113.9 J\\xfcrgen\\x0a\\\" /rest J\\xfcrgen\\x0a\\\" -\n");
}

TEST_F(AccessFormatTest, LastOfRepeatedFieldsIsTaken) {
  head_.fields = {{"X-Forwarded-For", "forged"}, {"X-Forwarded-For", "192.0.2.1"}};
  record_.response_head = "HTTP/1.1 200 OK\r\nX: one\r\nX: two\r\n\r\n";
  EXPECT_EQ(line("%({x-forwarded-for}i)s %({x}o)s"), "192.0.2.1 two");
}

TEST_F(AccessFormatTest, WidthAndPrecisionAreObeyed) {
  EXPECT_EQ(line("%(m)5s|%(m)-5s|%(m).2s|%(s)6d|%(nobody)3s|"), "  GET|GET  |GE|   200|  -|");
}

TEST_F(AccessFormatTest, JsonLineIsAnObjectWhateverWasSent) {
  head_.target = "/\xff\"?\x7f";
  head_.path = "/%ff%22";
  head_.query = "\\";
  head_.fields = {{"User-Agent", "\xc3\xa9 \xed\xa0\x80 \t"}};
  EXPECT_EQ(line(kJsonAccessFormat, AccessFormat::Escape::kJson),
            R"({"time":"ISO","pid":)" + std::to_string(::getpid()) +
                R"(,"remote_addr":"192.0.2.7","user":"-","method":"GET","path":"/\u00ff\"",)"
                R"("query":"\\","protocol":"HTTP/1.1","status":200,"bytes":14,"referer":"-",)"
                "\"user_agent\":\"\xc3\xa9 \\u00ed\\u00a0\\u0080 \\t\",\"duration\":2.345678}");
}

TEST_F(AccessFormatTest, MalformedFormatIsRefused) {
  EXPECT_FALSE(AccessFormat::compile("%(h)r"));
  EXPECT_FALSE(AccessFormat::compile("%(h)99999s"));
  EXPECT_FALSE(AccessFormat::compile("%(h)5"));
  EXPECT_FALSE(AccessFormat::compile("%h"));
  EXPECT_FALSE(AccessFormat::compile("%(h"));
  EXPECT_FALSE(AccessFormat::compile("%(h)x"));
  EXPECT_FALSE(AccessFormat::compile("%"));
}

class AccessLogTest : public AccessFormatTest {
 protected:
  AccessLogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-log-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/access.log";
  }
  ~AccessLogTest() override { std::filesystem::remove_all(directory_); }
  static std::string content(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  std::string directory_;
  std::string path_;
};

TEST_F(AccessLogTest, LinesAreHeldUntilFlushedAndThenComplete) {
  AccessLog log;
  ASSERT_TRUE(log.open(path_, "%(m)s"));
  EXPECT_FALSE(log.due());
  log.add(record_);
  log.add(record_);
  ASSERT_TRUE(log.due());
  EXPECT_EQ(content(path_), "");
  log.flush();
  EXPECT_FALSE(log.due());
  EXPECT_EQ(content(path_), "GET\nGET\n");
}

TEST_F(AccessLogTest, ManyLinesLeaveByThemselves) {
  AccessLog log;
  ASSERT_TRUE(log.open(path_, ""));
  for (int i = 0; i < 1000; ++i) log.add(record_);
  EXPECT_GT(content(path_).size(), 32'000U);
}

TEST_F(AccessLogTest, NoWriteToAPipeEndsWithinALine) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  const base::UniqueFd reader(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader);
  AccessLog log;
  ASSERT_TRUE(log.open(path_, ""));
  std::string received;
  std::array<char, 65536> buffer{};
  for (int i = 0; i < 200; ++i) {
    log.add(record_);
    if (i % 100 == 99) log.flush();
    const ssize_t size = ::read(reader.get(), buffer.data(), buffer.size());
    if (size <= 0) continue;
    received.append(buffer.data(), static_cast<std::size_t>(size));
    EXPECT_EQ(received.back(), '\n');
  }
  EXPECT_EQ(std::count(received.begin(), received.end(), '\n'), 200);
}

TEST_F(AccessLogTest, FullPipeThatDoesNotWaitIsWaitedForAndLosesNothing) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  const base::UniqueFd reader(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  const base::UniqueFd writer(::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader && writer);
  const int before = ::dup(STDOUT_FILENO);
  ASSERT_GE(before, 0);
  ASSERT_GE(::dup2(writer.get(), STDOUT_FILENO), 0);
  constexpr std::size_t kLines = 20'000;  // more than a pipe holds
  std::size_t lines = 0;
  std::thread drain([&] {
    std::array<char, 65536> buffer{};
    while (lines < kLines) {
      const ssize_t size = ::read(reader.get(), buffer.data(), buffer.size());
      if (size <= 0) break;
      lines += static_cast<std::size_t>(std::count(buffer.data(), buffer.data() + size, '\n'));
    }
  });
  {
    AccessLog log;
    EXPECT_TRUE(log.open("-", ""));
    for (std::size_t i = 0; i < kLines; ++i) log.add(record_);
  }
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  drain.join();
  EXPECT_EQ(lines, kLines);
}

TEST_F(AccessLogTest, LineAfterAFullDiskStandsByItself) {
  AccessLog log;
  ASSERT_TRUE(log.open(path_, "%(m)s"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit six{6, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &six), 0);
  log.add(record_);
  log.add(record_);
  log.flush();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);
  EXPECT_EQ(content(path_), "GET\nGE");
  log.add(record_);
  log.flush();
  EXPECT_EQ(content(path_), "GET\nGE\nGET\n");
}

TEST_F(AccessLogTest, LastWordsDoNotWaitForAWriter) {
  AccessLog log;
  ASSERT_TRUE(log.open(path_, "%(s)s"));
  log.add(record_);
  log.flush_unless_busy();
  EXPECT_EQ(content(path_), "200\n");
}

TEST_F(AccessLogTest, EndOfLifeFlushes) {
  {
    AccessLog log;
    ASSERT_TRUE(log.open(path_, "%(s)s"));
    log.add(record_);
  }
  EXPECT_EQ(content(path_), "200\n");
}

TEST_F(AccessLogTest, TimeIsWrittenAsByGunicorn) {
  AccessLog log;
  ASSERT_TRUE(log.open(path_, "%(t)s"));
  log.add(record_);
  log.flush();
  EXPECT_TRUE(std::regex_match(
      content(path_), std::regex(R"(\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]\n)")))
      << content(path_);
}

TEST_F(AccessLogTest, ReopenWritesToTheNewFileAndLosesNothing) {
  AccessLog log;
  ASSERT_TRUE(log.open(path_, "%(s)s"));
  log.add(record_);
  std::filesystem::rename(path_, path_ + ".1");
  ASSERT_TRUE(log.reopen());
  log.add(record_);
  log.flush();
  EXPECT_EQ(content(path_ + ".1"), "200\n");
  EXPECT_EQ(content(path_), "200\n");
}

TEST_F(AccessLogTest, FilesThatAreOpenAlreadyAreTakenWhateverTheName) {
  const auto make = [this](const char* name) {
    const std::string path = directory_ + name;
    return base::UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  };
  const std::string path = directory_ + "/missing/access.log";
  AccessLog log;
  ASSERT_TRUE(log.open(path, "%(s)s", AccessFormat::Escape::kText, {}, make("/one")));
  log.add(record_);
  {
    const base::UniqueFd two = make("/two");
    ASSERT_TRUE(log.reopen(two.get()));
  }
  log.add(record_);
  log.add(record_);
  log.flush();
  EXPECT_EQ(content(directory_ + "/one"), "200\n");
  EXPECT_EQ(content(directory_ + "/two"), "200\n200\n");
}

TEST_F(AccessLogTest, FailedReopenKeepsTheOldFile) {
  AccessLog log;
  std::filesystem::create_directory(directory_ + "/logs");
  const std::string path = directory_ + "/logs/access.log";
  ASSERT_TRUE(log.open(path, "%(s)s"));
  std::filesystem::rename(directory_ + "/logs", directory_ + "/old");
  EXPECT_FALSE(log.reopen());
  log.add(record_);
  log.flush();
  EXPECT_EQ(content(directory_ + "/old/access.log"), "200\n");
}

TEST_F(AccessLogTest, FileThatCannotBeOpenedIsNamed) {
  AccessLog log;
  const auto opened = log.open(directory_ + "/missing/access.log", "");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("missing/access.log"), std::string::npos);
}

TEST_F(AccessLogTest, WithoutAPathNothingIsWritten) {
  AccessLog log;
  ASSERT_TRUE(log.open("", ""));
  EXPECT_FALSE(log.enabled());
  log.add(record_);
  EXPECT_FALSE(log.due());
}

}  // namespace
}  // namespace corn::server
