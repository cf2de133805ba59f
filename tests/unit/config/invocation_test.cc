// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

namespace corn::config {
namespace {

class InvocationTest : public ConfigTest {
 protected:
  Invocation invocation(const Arguments& arguments) {
    base::Result<Invocation> result = read_invocation(arguments, environment_, directory_);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result ? *std::move(result) : Invocation{};
  }
  std::string usage_error(const Arguments& arguments) {
    const base::Result<Invocation> result = read_invocation(arguments, environment_, directory_);
    EXPECT_FALSE(result.has_value());
    return result ? "" : result.error().message;
  }
};

TEST_F(InvocationTest, ModeComesFromOptions) {
  EXPECT_EQ(invocation({"app"}).mode, Mode::kServe);
  EXPECT_EQ(invocation({"--check-config", "app"}).mode, Mode::kCheckConfig);
  EXPECT_EQ(invocation({"--print-config", "--check-config", "app"}).mode, Mode::kPrintConfig);
  EXPECT_EQ(invocation({"-h"}).mode, Mode::kHelp);
  EXPECT_EQ(invocation({"-v"}).mode, Mode::kVersion);
  EXPECT_EQ(invocation({"--version", "-c", "none"}).mode, Mode::kVersion);
}

TEST_F(InvocationTest, WithoutOptionTheTomlFileIsReadBeforeThePythonFile) {
  EXPECT_EQ(invocation({}).config_file, "");
  write("gunicorn.conf.py", "");
  EXPECT_EQ(invocation({}).config_file, directory_ + "/gunicorn.conf.py");
  EXPECT_TRUE(invocation({}).python_config);
  write("corn.toml", "");
  EXPECT_EQ(invocation({}).config_file, directory_ + "/corn.toml");
  EXPECT_FALSE(invocation({}).python_config);
}

TEST_F(InvocationTest, TheOptionTakesGunicornsForms) {
  write("conf", "");
  write("x.py", "");
  write("x.toml", "");
  EXPECT_EQ(invocation({"-c", "x.py"}).config_file, directory_ + "/x.py");
  EXPECT_EQ(invocation({"-c", "file:x.py"}).config_file, directory_ + "/x.py");
  EXPECT_TRUE(invocation({"-c", "conf"}).python_config);
  EXPECT_FALSE(invocation({"-c", directory_ + "/./x.toml"}).python_config);
  EXPECT_EQ(invocation({"-c", directory_ + "/./x.toml"}).config_file, directory_ + "/x.toml");
  EXPECT_EQ(invocation({"-c", "python:shop.conf"}).config_file, "python:shop.conf");
  EXPECT_TRUE(invocation({"-c", "python:shop.conf"}).python_config);
}

TEST_F(InvocationTest, AFileThatCannotBeReadIsAnError) {
  EXPECT_EQ(usage_error({"-c", "none.py"}),
            "command line: --config \"none.py\": cannot read the file: No such file or directory");
  EXPECT_EQ(usage_error({"-c", "."}),
            "command line: --config \".\": this is a directory; a file is wanted");
  EXPECT_EQ(usage_error({"-c", ""}), "command line: --config \"\": the name of a file is wanted");
  EXPECT_EQ(usage_error({"-c", "python:"}),
            "command line: --config \"python:\": the name of a module after python: is wanted");
}

TEST_F(InvocationTest, TheFileMayBeNamedInTheVariable) {
  write("a.toml", "");
  write("b.toml", "");
  environment_["CORN_CMD_ARGS"] = "-c a.toml";
  EXPECT_EQ(invocation({}).config_file, directory_ + "/a.toml");
  EXPECT_EQ(invocation({"-c", "b.toml"}).config_file, directory_ + "/b.toml");
}

TEST_F(InvocationTest, CornsVariableReplacesGunicorns) {
  environment_["GUNICORN_CMD_ARGS"] = "--nonsense";
  EXPECT_EQ(usage_error({}),
            "GUNICORN_CMD_ARGS: there is no option --nonsense "
            "(`arbiterd --help` lists all)");
  environment_["CORN_CMD_ARGS"] = "--check-config";
  EXPECT_EQ(invocation({}).mode, Mode::kCheckConfig);
  environment_["CORN_CMD_ARGS"] = "-e 'A";
  EXPECT_EQ(usage_error({}), "CORN_CMD_ARGS: a quotation that begins with ' has no end");
}

TEST_F(InvocationTest, RemembersTheVariablesThatMatterAndNoOthers) {
  environment_ = {{"PORT", "1"}, {"SECRET", "x"}, {"WEB_CONCURRENCY", "2"}, {"TMPDIR", "/t"}};
  EXPECT_THAT(invocation({}).environment,
              testing::UnorderedElementsAre(testing::Pair("PORT", "1"),
                                            testing::Pair("WEB_CONCURRENCY", "2"),
                                            testing::Pair("TMPDIR", "/t")));
}

TEST_F(InvocationTest, TheWorkerProgramIsKnownBeforeSettingsAre) {
  EXPECT_EQ(invocation({}).workerd, "");
  EXPECT_EQ(invocation({"--workerd", "bin/workerd"}).workerd, directory_ + "/bin/workerd");
  write("corn.toml", "[arbiter]\nworkerd = '/opt/workerd'\n");
  EXPECT_EQ(invocation({}).workerd, "/opt/workerd");
  EXPECT_EQ(invocation({"--workerd", "/a/workerd"}).workerd, "/a/workerd");
  write("corn.toml", "this is no TOML");
  EXPECT_EQ(invocation({}).workerd, "");
}

}  // namespace
}  // namespace corn::config
