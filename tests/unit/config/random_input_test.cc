// SPDX-License-Identifier: Apache-2.0
// Whatever is written on a command line or in a file, the answer is settings or an error.
#include <array>
#include <random>

#include "arbiterd/config/schema.h"
#include "fixture.h"

namespace corn::config {
namespace {

class RandomInputTest : public ConfigTest {
 protected:
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }

  std::string bytes(std::size_t most) {
    std::string text(below(most), ' ');
    for (char& c : text) c = static_cast<char>(1 + below(255));
    return text;
  }

  std::string value() {
    constexpr std::array kValues = {
        "",    "0",         "-1",       "1e400", "0x",         "99999999999999999999",
        "a=b", "[",         "[]",       "[a,b]", "{}",         "unix:",
        "*",   "1.5",       "nan",      "true",  "1.2.3.4/99", "-",
        "--",  "/dev/null", "100%",     "5G",    "::1",        "app:x",
        "=",   "fd://",     "\xff\xfe", "'",     "\"\"\""};
    return below(4) == 0 ? bytes(20) : kValues[below(kValues.size())];
  }

  std::string flag() {
    const Setting& setting = schema()[below(schema().size())];
    const std::vector<std::string_view> flags = flags_of(setting);
    std::string text(flags.empty() ? setting.name : flags[below(flags.size())]);
    if (below(8) == 0) text.resize(1 + below(text.size()));
    if (below(8) == 0) text += value();
    if (below(4) == 0) text += "=" + value();
    return text;
  }

  Arguments arguments() {
    Arguments result;
    for (std::size_t i = below(8); i > 0; --i) result.push_back(below(2) == 0 ? flag() : value());
    return result;
  }

  std::string toml() {
    std::string text;
    for (std::size_t i = below(6); i > 0; --i) {
      const Setting& setting = schema()[below(schema().size())];
      switch (below(6)) {
        case 0:
          text += "[arbiter]\n";
          break;
        case 1:
          text += "[pool." + std::string(1, static_cast<char>('a' + below(3))) + "]\n";
          break;
        case 2:
          text += bytes(10) + "\n";
          break;
        default:
          text += std::string(setting.name) + " = " +
                  std::array{"1",   "'x'", "[1, 'a']", "{ a = 'b' }", "true", "1979-05-27",
                             "1.5", "[]",  "''",       "nan",         "inf"}[below(11)] +
                  "\n";
      }
    }
    return text;
  }

  void expect_an_answer(const base::Result<Settings>& settings) {
    if (settings) {
      EXPECT_FALSE(settings->pools.empty());
      EXPECT_FALSE(print_config(*settings).empty());
    } else {
      EXPECT_FALSE(settings.error().message.empty());
    }
  }

  std::mt19937 random_{20260131};
};

TEST_F(RandomInputTest, CommandLinesAreAnswered) {
  constexpr int kRuns = 1000;
  for (int i = 0; i < kRuns; ++i) {
    const Arguments line = arguments();
    SCOPED_TRACE(testing::PrintToString(line));
    expect_an_answer(load(line));
  }
}

TEST_F(RandomInputTest, VariablesAreAnswered) {
  constexpr int kRuns = 300;
  for (int i = 0; i < kRuns; ++i) {
    environment_ = {{"CORN_CMD_ARGS", flag() + " " + bytes(30)},
                    {"PORT", value()},
                    {"WEB_CONCURRENCY", value()},
                    {"VIRTUAL_ENV", value()}};
    expect_an_answer(load({"app"}));
  }
}

TEST_F(RandomInputTest, FilesAreAnswered) {
  constexpr int kRuns = 700;
  for (int i = 0; i < kRuns; ++i) {
    const std::string content = toml();
    SCOPED_TRACE(content);
    write("corn.toml", content);
    expect_an_answer(load({"app"}));
  }
}

TEST_F(RandomInputTest, PythonValuesAreAnswered) {
  write("gunicorn.conf.py", "");
  constexpr int kRuns = 700;
  for (int i = 0; i < kRuns; ++i) {
    python_ = base::ConfigValues{};
    for (std::size_t n = below(5); n > 0; --n) {
      const std::string name(schema()[below(schema().size())].name);
      python(name,
             std::array{"1", "\"x\"", "[1, \"a\"]", "{\"a\": \"b\"}", "true", "null", "1e300", "-5",
                        "[]", "{", "[[[]]]"}[below(11)],
             static_cast<std::uint32_t>(below(99)));
    }
    expect_an_answer(load({"app"}));
  }
}

}  // namespace
}  // namespace corn::config
