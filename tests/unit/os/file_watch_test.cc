// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/file_watch.h"

#include <gmock/gmock.h>
#include <sys/epoll.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

namespace corn::os {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(PathPattern, MeansWhatGlobMeans) {
  const PathPattern one("/app/conf.d/*.ini");
  EXPECT_EQ(one.base(), "/app/conf.d");
  EXPECT_TRUE(one.matches("/app/conf.d/a.ini"));
  EXPECT_FALSE(one.matches("/app/conf.d/.a.ini"));
  EXPECT_FALSE(one.matches("/app/conf.d/sub/a.ini"));
  EXPECT_FALSE(one.matches("/app/conf.d"));
  const PathPattern deep("/app/**/t?[ab].html");
  EXPECT_EQ(deep.base(), "/app");
  EXPECT_TRUE(deep.matches("/app/t1a.html"));
  EXPECT_TRUE(deep.matches("/app/x/y/t1b.html"));
  EXPECT_FALSE(deep.matches("/app/x/.y/t1b.html"));
  EXPECT_FALSE(deep.matches("/app/x/t1c.html"));
  EXPECT_TRUE(PathPattern("/app/**").matches("/app/x/y"));
  EXPECT_EQ(PathPattern("/*/x").base(), "/");
}

TEST(PathPattern, TellsWhereMatchesCouldBe) {
  const PathPattern pattern("/app/*/conf/*.ini");
  EXPECT_TRUE(pattern.may_match_below("/app"));
  EXPECT_TRUE(pattern.may_match_below("/app/x/conf"));
  EXPECT_FALSE(pattern.may_match_below("/app/x/other"));
  EXPECT_FALSE(pattern.may_match_below("/app/x/conf/more"));
  EXPECT_TRUE(PathPattern("/app/**/*.ini").may_match_below("/app/a/b/c"));
  EXPECT_FALSE(PathPattern("/app/**/*.ini").may_match_below("/app/.git"));
}

// Turns only when told to.
class HandLoop final : public EventLoop {
 public:
  base::Status watch(int, std::uint32_t, DescriptorCallback callback) override {
    callback_ = std::move(callback);
    return {};
  }
  void unwatch(int) override { callback_ = nullptr; }
  void on_deadline(Task) override {}
  void set_deadline(std::optional<base::TimePoint>) override {}
  bool post(Task) override { return false; }
  [[nodiscard]] base::TimePoint now() const override { return {}; }
  [[nodiscard]] bool on_loop_thread() const override { return true; }
  void run() override { callback_(EPOLLIN); }
  void stop() override {}

 private:
  DescriptorCallback callback_;
};

// inotify has an event by the time that the call which causes it returns.
class FileWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "corn-watch-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root = name;
    auto created = FileWatch::create(loop, [this](const std::string& path) {
      seen.push_back(path.starts_with(root.string() + "/") ? path.substr(root.string().size() + 1)
                                                           : path);
    });
    ASSERT_TRUE(created) << created.error().message;
    watch = std::move(*created);
  }
  void TearDown() override {
    watch.reset();
    fs::remove_all(root);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (root / name).string(); }
  void write(const std::string& name) const { std::ofstream(path(name)) << name; }
  void make(const std::string& directory) const { fs::create_directories(path(directory)); }
  std::vector<std::string> changes() {
    seen.clear();
    loop.run();
    return seen;
  }

  HandLoop loop;
  fs::path root;
  std::vector<std::string> seen;
  std::unique_ptr<FileWatch> watch;
};

TEST_F(FileWatchTest, AWatchedFileThatIsWrittenIsTold) {
  write("a.py");
  watch->add(path("a.py"));
  write("a.py");
  write("b.py");
  EXPECT_THAT(changes(), ElementsAre("a.py"));
}

TEST_F(FileWatchTest, AFileIsToldWhenItIsWholeOnly) {
  watch->add(path("a.py"));
  std::ofstream file(path("a.py"));
  file << "half" << std::flush;
  EXPECT_THAT(changes(), IsEmpty());
  file.close();
  EXPECT_THAT(changes(), ElementsAre("a.py"));
}

TEST_F(FileWatchTest, EditorsPutANewFileInTheOldOnesPlace) {
  write("a.py");
  watch->add(path("a.py"));
  for (int i = 0; i < 2; ++i) {
    write(".a.py.swp");
    fs::rename(path(".a.py.swp"), path("a.py"));
    EXPECT_THAT(changes(), ElementsAre("a.py"));
  }
}

TEST_F(FileWatchTest, AFileThatGoesIsNotToldAndItsReturnIs) {
  write("a.py");
  watch->add(path("a.py"));
  fs::remove(path("a.py"));
  EXPECT_THAT(changes(), IsEmpty());
  write("a.py");
  EXPECT_THAT(changes(), ElementsAre("a.py"));
}

TEST_F(FileWatchTest, ADirectoryThatAppearsLaterIsWatchedFromThenOn) {
  watch->add(path("x/y/z.ini"));
  make("x");
  EXPECT_THAT(changes(), IsEmpty());
  make("x/y");
  EXPECT_THAT(changes(), IsEmpty());
  write("x/y/z.ini");
  EXPECT_THAT(changes(), ElementsAre("x/y/z.ini"));
}

TEST_F(FileWatchTest, AFileThatComesWithItsDirectoryIsTold) {
  watch->add(path("x/y/z.ini"));
  make("new/y");
  write("new/y/z.ini");
  fs::rename(path("new"), path("x"));
  EXPECT_THAT(changes(), ElementsAre("x/y/z.ini"));
}

TEST_F(FileWatchTest, ADirectoryThatIsExchangedIsWatchedAgain) {
  make("x");
  write("x/a.py");
  watch->add(path("x/a.py"));
  fs::rename(path("x"), path("old"));
  EXPECT_THAT(changes(), IsEmpty());
  write("old/a.py");
  EXPECT_THAT(changes(), IsEmpty());
  make("x");
  write("x/a.py");
  EXPECT_THAT(changes(), testing::Contains("x/a.py"));
  fs::remove_all(path("x"));
  EXPECT_THAT(changes(), IsEmpty());
  make("x");
  EXPECT_THAT(changes(), IsEmpty());
  write("x/a.py");
  EXPECT_THAT(changes(), ElementsAre("x/a.py"));
}

TEST_F(FileWatchTest, TheFileBehindALinkIsWatchedToo) {
  make("real");
  write("real/a.py");
  fs::create_symlink(path("real/a.py"), path("a.py"));
  watch->add(path("a.py"));
  write("real/a.py");
  EXPECT_THAT(changes(), ElementsAre("a.py"));
  write("real/b.py");
  fs::create_symlink(path("real/b.py"), path("new"));
  fs::rename(path("new"), path("a.py"));
  EXPECT_THAT(changes(), ElementsAre("a.py"));
  write("real/b.py");
  EXPECT_THAT(changes(), ElementsAre("a.py"));
}

TEST_F(FileWatchTest, PatternsFindFilesThatComeLater) {
  make("templates/deep");
  watch->add(PathPattern(path("templates/**/*.html")));
  write("templates/a.html");
  write("templates/deep/b.html");
  write("templates/deep/b.txt");
  EXPECT_THAT(changes(), ElementsAre("templates/a.html", "templates/deep/b.html"));
  make("templates/new/er");
  write("templates/new/er/c.html");
  EXPECT_THAT(changes(), ElementsAre("templates/new/er/c.html"));
  write("templates/new/er/d.html");
  EXPECT_THAT(changes(), ElementsAre("templates/new/er/d.html"));
}

TEST_F(FileWatchTest, APatternsDirectoryMayComeLater) {
  watch->add(PathPattern(path("conf.d/*.ini")));
  make("new");
  write("new/a.ini");
  fs::rename(path("new"), path("conf.d"));
  EXPECT_THAT(changes(), ElementsAre("conf.d/a.ini"));
  write("conf.d/b.ini");
  EXPECT_THAT(changes(), ElementsAre("conf.d/b.ini"));
}

TEST_F(FileWatchTest, ByteCodeAndHiddenDirectoriesMatchNoPattern) {
  make("app");
  watch->add(PathPattern(path("app/**")));
  make("app/__pycache__");
  make("app/.git");
  EXPECT_THAT(changes(), IsEmpty());
  write("app/__pycache__/a.pyc");
  write("app/.git/index");
  EXPECT_THAT(changes(), IsEmpty());
  write("app/a.py");
  EXPECT_THAT(changes(), ElementsAre("app/a.py"));
}

}  // namespace
}  // namespace corn::os
