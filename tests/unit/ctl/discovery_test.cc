// SPDX-License-Identifier: Apache-2.0
// How cornctl finds an arbiter.
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "cornctl_fixture.h"

namespace corn::ctl {
namespace {

class DiscoveryTest : public CornctlTest {
 protected:
  // Instances of this machine outside the test's directory would be found too.
  static bool alone() {
    const auto holds_sockets = [](const std::filesystem::path& directory) {
      std::error_code error;
      for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().extension() == ".sock") return true;
      }
      return false;
    };
    return !holds_sockets("/run/corn") && !holds_sockets("/tmp/corn-" + std::to_string(::getuid()));
  }
};

TEST_F(DiscoveryTest, TakesTheOnlyInstance) {
  if (!alone()) GTEST_SKIP() << "other instances run on this machine";
  start();
  EXPECT_EQ(cornctl({"status"}).status, 0);
}

TEST_F(DiscoveryTest, NoneRunningIsStatus3AndSaysWhereItLooked) {
  if (!alone()) GTEST_SKIP() << "other instances run on this machine";
  const Ended run = cornctl({"status"});
  EXPECT_EQ(run.status, 3);
  EXPECT_NE(run.err.find("no arbiter is running (looked in " + runtime()), std::string::npos)
      << run.err;
}

// As during an upgrade in place: the instance's lock names a process, and its socket is gone.
TEST_F(DiscoveryTest, AnArbiterThatIsAboutToOpenItsSocketIsWaitedFor) {
  std::ofstream(runtime() + "/hello.lock") << ::getpid() << "\n";
  for (const std::vector<std::string>& who : std::vector<std::vector<std::string>>{
           {"-i", "hello", "status"}, {"--control", address(), "events"}}) {
    servers_.clear();
    std::thread late([this] {
      // Long enough for the first attempts to fail; the outcome doesn't depend on it.
      ::usleep(200'000);
      start();
    });
    const Ended run = cornctl(who);
    late.join();
    EXPECT_EQ(run.status, 0) << run.err;
  }
}

TEST_F(DiscoveryTest, NobodyIsWaitedForWhoseProcessHasEnded) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  std::ofstream(runtime() + "/hello.lock") << child << "\n";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(cornctl({"-i", "hello", "status"}).status, 3);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(DiscoveryTest, SeveralAreListedAndOneAskedFor) {
  start("one");
  start("two");
  const Ended run = cornctl({"status"});
  EXPECT_EQ(run.status, 2);
  EXPECT_NE(run.err.find("name one with -i NAME"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("\n  one\n"), std::string::npos) << run.err;
  EXPECT_EQ(cornctl({"-i", "two", "status"}).status, 0);
  EXPECT_EQ(cornctl({"status", "--instance", "one"}).status, 0);
  const Ended unknown = cornctl({"-i", "three", "status"});
  EXPECT_EQ(unknown.status, 3);
  EXPECT_NE(unknown.err.find("no instance 'three' is running; these are:"), std::string::npos);
}

TEST_F(DiscoveryTest, InstanceIsNamedAsWrittenOrAsItsFileIs) {
  start("my%20app");
  EXPECT_EQ(cornctl({"-i", "my app", "status"}).status, 0);
  EXPECT_EQ(cornctl({"-i", "my%20app", "status"}).status, 0);
}

TEST_F(DiscoveryTest, AddressIsGivenByOptionOrVariableAndTheOptionWins) {
  start();
  EXPECT_EQ(cornctl({"--control", address(), "status"}).status, 0);
  EXPECT_EQ(cornctl({"status", "--control", runtime() + "/hello.sock"}).status, 0);
  environment_["CORN_CONTROL"] = address();
  EXPECT_EQ(cornctl({"status"}).status, 0);
  environment_["CORN_CONTROL"] = "unix:/nonexistent";
  EXPECT_EQ(cornctl({"status"}).status, 3);
  EXPECT_EQ(cornctl({"--control", address(), "status"}).status, 0);
  EXPECT_EQ(cornctl({"-i", "hello", "status"}).status, 0);
}

TEST_F(DiscoveryTest, SocketThatWasLeftBehindIsNoInstance) {
  start("dead");
  std::filesystem::rename(runtime() + "/dead.sock", runtime() + "/aside");
  servers_.clear();
  std::filesystem::rename(runtime() + "/aside", runtime() + "/dead.sock");
  std::ofstream(runtime() + "/file.sock") << "not a socket";
  start();
  if (alone()) {
    EXPECT_EQ(cornctl({"status"}).status, 0);
  }
  const Ended run = cornctl({"--control", address("dead"), "status"});
  EXPECT_EQ(run.status, 3);
  EXPECT_NE(run.err.find("its socket was left behind"), std::string::npos) << run.err;
}

TEST_F(DiscoveryTest, ListShowsEachInstance) {
  start("one");
  start("two");
  const Ended run = cornctl({"ls"});
  EXPECT_EQ(run.status, 0);
  EXPECT_NE(run.out.find("INSTANCE"), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("\none "), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("\ntwo "), std::string::npos) << run.out;
  const Ended json = cornctl({"ls", "--json"});
  EXPECT_EQ(json.status, 0);
  EXPECT_NE(json.out.find("\"instance\":\"one\""), std::string::npos) << json.out;
  EXPECT_NE(json.out.find("\"state\":\"SERVING\""), std::string::npos) << json.out;
}

TEST_F(DiscoveryTest, ArbiterOfAnotherUserIsStatus5) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can serve somebody else";
  start();
  // A client that has given up root, before a socket that is open to it: the arbiter refuses.
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  std::filesystem::permissions(runtime() + "/hello.sock", std::filesystem::perms::all);
  const std::string open = "setpriv --reuid=65534 --regid=65534 --clear-groups " CORN_BINARY_DIR
                           "/bin/cornctl --control " +
                           address() + " status 2> /dev/null";
  // Where the build tree is closed to that user, there's no client: sh says 126 or 127.
  const int refused = WEXITSTATUS(std::system(open.c_str()));
  if (refused == 126 || refused == 127) GTEST_SKIP() << "the program is out of nobody's reach";
  EXPECT_EQ(refused, 5);
  // A socket that is closed to it: the kernel refuses.
  std::filesystem::permissions(runtime() + "/hello.sock", std::filesystem::perms::owner_all);
  EXPECT_EQ(WEXITSTATUS(std::system(open.c_str())), 5);
}

}  // namespace
}  // namespace corn::ctl
