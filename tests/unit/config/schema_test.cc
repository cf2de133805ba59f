// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "arbiterd/config/sources.h"

namespace corn::config {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Schema, KnowsEverySettingAndOptionOfGunicorn) {
  std::istringstream lines(
      read_file(CORN_SOURCE_DIR "/tests/unit/config/gunicorn_26_1_settings.txt"));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    ++count;
    std::istringstream words(line);
    std::string name;
    words >> name;
    const Setting* setting = find_setting(name);
    ASSERT_NE(setting, nullptr) << name;
    EXPECT_TRUE(setting->gunicorn) << name;
    for (std::string flag; words >> flag;) EXPECT_EQ(find_flag(flag), setting) << flag;
  }
  EXPECT_EQ(count, 118U);
}

TEST(Schema, HasNoSettingOfGunicornThatGunicornHasNot) {
  const std::string known =
      read_file(CORN_SOURCE_DIR "/tests/unit/config/gunicorn_26_1_settings.txt");
  for (const Setting& setting : schema()) {
    const std::string start = "\n" + std::string(setting.name);
    const bool listed =
        known.find(start + " ") != known.npos || known.find(start + "\n") != known.npos;
    EXPECT_EQ(listed, setting.gunicorn) << setting.name;
  }
}

TEST(Schema, EverySettingIsComplete) {
  for (const Setting& setting : schema()) {
    SCOPED_TRACE(setting.name);
    EXPECT_FALSE(wanted(setting).empty());
    if (setting.support == Support::kImplemented) {
      EXPECT_TRUE(setting.help.ends_with('.'));
      if (setting.scope != Scope::kInvocation) {
        EXPECT_EQ(setting.to_arbiter != nullptr, for_arbiter(setting));
        EXPECT_EQ(setting.to_pool != nullptr, for_pool(setting) && setting.kind != Kind::kHook);
      }
      const bool has_value = !setting.flags.empty() && setting.kind != Kind::kSwitch;
      EXPECT_EQ(setting.placeholder.empty(),
                !has_value && setting.name != "wsgi_app" && setting.name != "tmp_upload_dir");
    } else {
      EXPECT_FALSE(setting.reason.empty());
    }
    EXPECT_EQ(setting.choices.empty(), setting.kind != Kind::kChoice);
    default_value(setting);  // aborts when a default doesn't fit its own setting
  }
}

TEST(Schema, HelpFitsATerminal) {
  std::istringstream lines(help_text());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
}

TEST(Schema, HelpNamesEveryOption) {
  const std::string help = help_text();
  for (const Setting& setting : schema()) {
    if (setting.flags.empty()) continue;
    EXPECT_THAT(help, testing::HasSubstr(std::string(long_flag(setting)))) << setting.name;
  }
}

// The pages of the contract that name options, beyond gunicorn's.
TEST(Schema, HasCornsOwnOptions) {
  for (const char* flag : {"--control",
                           "--max-memory",
                           "--max-lifetime",
                           "--request-timeout",
                           "--dbus",
                           "--log-format",
                           "--workerd",
                           "--venv",
                           "--admin",
                           "--boot-timeout",
                           "--header-timeout",
                           "--body-timeout",
                           "--body-min-rate",
                           "--body-memory",
                           "--request-timeout-soft",
                           "--orphan-timeout",
                           "--handover",
                           "--reload-surge",
                           "--preload-warm-up",
                           "--hook-timeout",
                           "--version",
                           "--help"}) {
    ASSERT_NE(find_flag(flag), nullptr) << flag;
    EXPECT_FALSE(find_flag(flag)->gunicorn) << flag;
  }
}

TEST(Schema, TheReferenceIsUpToDate) {
  const std::string path = CORN_SOURCE_DIR "/docs/SETTINGS.md";
  if (std::getenv("CORN_REWRITE") != nullptr) std::ofstream(path) << settings_reference();
  EXPECT_TRUE(read_file(path) == settings_reference())
      << path << " differs from the table; write it anew with CORN_REWRITE=1";
}

TEST(Schema, TheMigrationGuideHasEverySettingAndHookOfGunicorn) {
  const std::string path = CORN_SOURCE_DIR "/docs/FROM_GUNICORN.md";
  std::string page = read_file(path);
  const std::size_t mark = page.find("<!-- tables:");
  ASSERT_NE(mark, std::string::npos);
  const std::size_t begin = page.find('\n', mark) + 1;
  const std::string tables = "\n" + migration_tables();
  if (std::getenv("CORN_REWRITE") != nullptr) {
    page = page.substr(0, begin) + tables;
    std::ofstream(path) << page;
  }
  EXPECT_TRUE(page.substr(begin) == tables)
      << path << " differs from the table; write it anew with CORN_REWRITE=1";
  std::istringstream lines(
      read_file(CORN_SOURCE_DIR "/tests/unit/config/gunicorn_26_1_settings.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    EXPECT_THAT(tables, testing::HasSubstr("| `" + line.substr(0, line.find(' ')) + "` |"));
  }
  for (const char* signal : {"TERM", "INT", "HUP", "TTIN", "TTOU", "USR1", "USR2", "WINCH"}) {
    EXPECT_THAT(page.substr(0, begin), testing::HasSubstr(signal));
  }
}

TEST(Schema, TheTableOfThePythonPackageIsUpToDate) {
  const std::string path = CORN_SOURCE_DIR "/python/corn/settings_table.py";
  if (std::getenv("CORN_REWRITE") != nullptr) std::ofstream(path) << python_settings_table();
  EXPECT_TRUE(read_file(path) == python_settings_table())
      << path << " differs from the table; write it anew with CORN_REWRITE=1";
}

}  // namespace
}  // namespace corn::config
