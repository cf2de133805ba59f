// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "support.h"

namespace corn::os {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

BindAddress address(const std::string& text) {
  const base::Result<BindAddress> parsed = parse_bind_address(text);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return *parsed;
}

base::Result<Listener> listen_on(const std::string& text, const ListenOptions& options = {}) {
  return Listener::open(address(text), options);
}

std::string error_of(const std::string& text, const ListenOptions& options = {}) {
  const base::Result<Listener> listener = listen_on(text, options);
  return listener ? "no failure" : listener.error().message;
}

int option_of(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  ::getsockopt(fd, level, option, &value, &size);
  return value;
}

base::UniqueFd connect_tcp(std::uint16_t port) {
  base::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(client.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0) {
    client.reset();
  }
  return client;
}

sockaddr_un unix_name(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());
  return name;
}

// 0 or the error number.
int connect_unix(const std::string& path) {
  const base::UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un name = unix_name(path);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0
             ? 0
             : errno;
}

// A socket file that is bound but, with its owner gone, answered by nobody.
void leave_stale_socket(const std::string& path, int type = SOCK_STREAM) {
  const base::UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un name = unix_name(path);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return status.st_mode & 07777U;
}

TEST(TcpListener, PortZeroIsShownAsTheRealPortAndComparedAsZero) {
  const base::Result<Listener> listener = listen_on("127.0.0.1:0");
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_NE(listener->info().port, 0);
  EXPECT_EQ(listener->info().host, "127.0.0.1");
  EXPECT_FALSE(listener->info().unix_socket);
  EXPECT_EQ(listener->info().url, "http://127.0.0.1:" + std::to_string(listener->info().port));
  EXPECT_EQ(listener->address(), address("127.0.0.1:0"));
  EXPECT_TRUE(connect_tcp(listener->info().port));
}

TEST(TcpListener, IsCloseOnExecAndNonBlocking) {
  const base::Result<Listener> listener = listen_on("127.0.0.1:0");
  ASSERT_TRUE(listener);
  EXPECT_TRUE(::fcntl(listener->descriptor(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(listener->descriptor(), F_GETFL) & O_NONBLOCK);
}

TEST(TcpListener, AcceptedConnectionsHaveNoDelay) {
  const base::Result<Listener> listener = listen_on("127.0.0.1:0");
  ASSERT_TRUE(listener);
  const base::UniqueFd client = connect_tcp(listener->info().port);
  const base::UniqueFd accepted(::accept4(listener->descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  EXPECT_NE(option_of(accepted.get(), IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(TcpListener, Ipv6IsShownInBrackets) {
  const base::Result<Listener> listener = listen_on("[::1]:0");
  if (!listener) GTEST_SKIP() << listener.error().message;
  EXPECT_EQ(listener->info().url, "http://[::1]:" + std::to_string(listener->info().port));
  EXPECT_EQ(listener->info().host, "::1");
}

TEST(TcpListener, HostNameIsResolvedToIpv4First) {
  const base::Result<Listener> listener = listen_on("localhost:0");
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(listener->info().host, "127.0.0.1");
}

TEST(TcpListener, PortInUseSaysWhoHoldsIt) {
  const base::Result<Listener> first = listen_on("127.0.0.1:0");
  ASSERT_TRUE(first);
  const std::string port = std::to_string(first->info().port);
  EXPECT_THAT(error_of("127.0.0.1:" + port),
              StartsWith("cannot listen on 127.0.0.1:" + port +
                         ": Address already in use; the port is held by " +
                         std::to_string(::getpid()) + " ("));
}

TEST(TcpListener, ReusePortLetsTwoShareAPort) {
  ListenOptions options;
  options.reuse_port = true;
  const base::Result<Listener> first = listen_on("127.0.0.1:0", options);
  ASSERT_TRUE(first);
  const std::string text = "127.0.0.1:" + std::to_string(first->info().port);
  EXPECT_TRUE(listen_on(text, options));
  EXPECT_THAT(error_of(text), HasSubstr("Address already in use"));
}

TEST(TcpListener, PortIsFreeAgainAtOnce) {
  base::Result<Listener> first = listen_on("127.0.0.1:0");
  ASSERT_TRUE(first);
  const std::uint16_t port = first->info().port;
  // The server closes first, which leaves the connection in TIME_WAIT.
  base::UniqueFd client = connect_tcp(port);
  base::UniqueFd(::accept4(first->descriptor(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
  first = base::fail("closed");
  client.reset();
  EXPECT_EQ(error_of("127.0.0.1:" + std::to_string(port)), "no failure");
}

TEST(TcpListener, AddressOfAnotherMachineIsNamed) {
  EXPECT_THAT(error_of("192.0.2.1:0"),  // TEST-NET-1, RFC 5737
              AllOf(StartsWith("cannot listen on 192.0.2.1:0: Cannot assign requested address"),
                    HasSubstr("no interface of this machine")));
}

TEST(TcpListener, LowPortNeedsPrivilege) {
  const std::string error = test::in_child([] {
    if (test::is_root() && ::setresuid(12345, 12345, 12345) != 0) return std::string("setresuid");
    return error_of("127.0.0.1:81");
  });
  if (error == "no failure") GTEST_SKIP() << "ip_unprivileged_port_start is lower here";
  EXPECT_THAT(error, AllOf(HasSubstr("Permission denied"), HasSubstr("CAP_NET_BIND_SERVICE")));
}

TEST(TcpListener, UnknownHostNameIsNamed) {
  EXPECT_THAT(error_of("no-such-host.invalid:8000"),
              AllOf(HasSubstr("'no-such-host.invalid' has no address"), HasSubstr("/etc/hosts")));
}

TEST(UnixListener, FileIsCreatedUnderTheUmaskAndRemovedAtTheEnd) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  const mode_t own_umask = ::umask(022);
  ListenOptions options;
  options.umask = 0117;
  {
    const base::Result<Listener> listener = listen_on("unix:" + path, options);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(mode_of(path), 0660U);
    EXPECT_EQ(listener->info().url, "unix:" + path);
    EXPECT_EQ(listener->info().host, path);
    EXPECT_EQ(listener->info().port, 0);
    EXPECT_TRUE(listener->info().unix_socket);
    EXPECT_EQ(connect_unix(path), 0);
  }
  EXPECT_FALSE(test::exists(path));
  EXPECT_EQ(::umask(own_umask), 022U) << "the process's own umask is back";
}

TEST(UnixListener, FileBelongsToTheOwnerGiven) {
  if (!test::is_root()) GTEST_SKIP() << "only root may give files away";
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  ListenOptions options;
  options.owner = FileOwner{12345, 23456};
  const base::Result<Listener> listener = listen_on("unix:" + path, options);
  ASSERT_TRUE(listener);
  struct stat status {};
  ASSERT_EQ(::lstat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 12345U);
  EXPECT_EQ(status.st_gid, 23456U);
}

TEST(UnixListener, StaleSocketIsReplaced) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  leave_stale_socket(path);
  const base::Result<Listener> listener = listen_on("unix:" + path);
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(connect_unix(path), 0);
}

TEST(UnixListener, SocketThatAnswersIsLeftAlone) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  const base::Result<Listener> first = listen_on("unix:" + path);
  ASSERT_TRUE(first);
  EXPECT_THAT(error_of("unix:" + path), HasSubstr("another program listens there"));
  EXPECT_EQ(connect_unix(path), 0);
}

TEST(UnixListener, SocketWithAFullBacklogCountsAsAnswering) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  ListenOptions options;
  options.backlog = 0;
  const base::Result<Listener> first = listen_on("unix:" + path, options);
  ASSERT_TRUE(first);
  ASSERT_EQ(connect_unix(path), 0);  // fills it
  EXPECT_THAT(error_of("unix:" + path), HasSubstr("another program listens there"));
  EXPECT_TRUE(test::exists(path));
}

TEST(UnixListener, DatagramSocketIsLeftAlone) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "log.sock";
  const base::UniqueFd datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_un name = unix_name(path);
  ASSERT_EQ(::bind(datagram.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  EXPECT_THAT(error_of("unix:" + path), HasSubstr("another program listens there"));
  EXPECT_TRUE(test::exists(path));
}

TEST(UnixListener, FileOfAnotherKindIsLeftAlone) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "precious";
  test::write_file(path, "data");
  EXPECT_THAT(error_of("unix:" + path), EndsWith("a file that is not a socket is in the way; "
                                                 "remove it or choose another path"));
  EXPECT_EQ(test::read_file(path), "data");
}

TEST(UnixListener, FileThatBelongsToAnotherByNowIsNotRemoved) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  base::Result<Listener> old = listen_on("unix:" + path);
  ASSERT_TRUE(old);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const base::Result<Listener> successor = listen_on("unix:" + path);
  ASSERT_TRUE(successor);
  old = base::fail("closed");
  EXPECT_EQ(connect_unix(path), 0);
}

TEST(UnixListener, RemovedFileStaysRemovedAndTheQueueIsServed) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  base::Result<Listener> listener = listen_on("unix:" + path);
  ASSERT_TRUE(listener);
  ASSERT_EQ(connect_unix(path), 0);
  listener->remove_file();
  EXPECT_EQ(connect_unix(path), ENOENT);
  EXPECT_TRUE(base::UniqueFd(::accept4(listener->descriptor(), nullptr, nullptr, SOCK_CLOEXEC)));
}

TEST(UnixListener, MovedListenerRemovesItsFileOnce) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  std::vector<Listener> kept;
  {
    base::Result<Listener> listener = listen_on("unix:" + path);
    ASSERT_TRUE(listener);
    kept.push_back(std::move(*listener));
  }
  EXPECT_EQ(connect_unix(path), 0);
  kept.clear();
  EXPECT_FALSE(test::exists(path));
}

TEST(UnixListener, MissingDirectoryAndMissingPermissionNameTheRemedy) {
  EXPECT_EQ(error_of("unix:/nonexistent/app.sock"),
            "cannot listen on unix:/nonexistent/app.sock: No such file or directory; create the "
            "directory /nonexistent first");
  const test::TemporaryDirectory directory;  // mode 0700
  const std::string path = directory / "app.sock";
  const std::string error = test::in_child([&] {
    if (!test::is_root()) ::chmod(directory.path().c_str(), 0500);
    if (test::is_root() && ::setresuid(12345, 12345, 12345) != 0) return std::string("setresuid");
    return error_of("unix:" + path);
  });
  EXPECT_THAT(error, AllOf(HasSubstr("Permission denied"),
                           HasSubstr("the directory " + directory.path() + " must be writable")));
}

TEST(UnixListener, AbstractNameLeavesNoFile) {
  const std::string name = "corn-listener-test-" + std::to_string(::getpid());
  const base::Result<Listener> listener = listen_on("unix:@" + name);
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(listener->info().url, "unix:@" + name);
  EXPECT_THAT(error_of("unix:@" + name), HasSubstr("Address already in use"));
}

TEST(InheritedListener, ListeningSocketIsTakenOver) {
  base::Result<Listener> parent = listen_on("127.0.0.1:0");
  ASSERT_TRUE(parent);
  const int fd = ::fcntl(parent->descriptor(), F_DUPFD, 0);  // not CLOEXEC, as when inherited
  const base::Result<Listener> listener = listen_on("fd://" + std::to_string(fd));
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(listener->descriptor(), fd);
  EXPECT_EQ(listener->info().url, parent->info().url);
  EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(InheritedListener, UnixSocketsFileIsNotOursToRemove) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.sock";
  base::Result<Listener> parent = listen_on("unix:" + path);
  ASSERT_TRUE(parent);
  const int fd = ::fcntl(parent->descriptor(), F_DUPFD_CLOEXEC, 0);
  {
    const base::Result<Listener> listener = listen_on("fd://" + std::to_string(fd));
    ASSERT_TRUE(listener);
    EXPECT_EQ(listener->info().url, "unix:" + path);
  }
  EXPECT_TRUE(test::exists(path));
}

TEST(InheritedListener, EverythingElseIsRefused) {
  EXPECT_THAT(error_of("fd://9999"), HasSubstr("the descriptor is not open"));

  const base::UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(error_of("fd://" + std::to_string(file.get())),
              HasSubstr("the descriptor is not a socket"));

  const base::UniqueFd idle(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_THAT(error_of("fd://" + std::to_string(idle.get())),
              HasSubstr("not a stream socket that listens"));

  const base::UniqueFd datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_THAT(error_of("fd://" + std::to_string(datagram.get())),
              HasSubstr("not a stream socket that listens"));
  // What was refused is still its owner's.
  EXPECT_GE(::fcntl(datagram.get(), F_GETFD), 0);
}

// Sets the variables of socket activation as `pid` and `count` and describes what is taken.
std::string activation(const std::string& pid, const std::string& count) {
  return test::in_child([&] {
    const base::UniqueFd first(::socket(AF_INET, SOCK_STREAM, 0));
    ::dup2(first.get(), 3);
    ::dup2(first.get(), 4);
    ::setenv("LISTEN_PID", pid == "own" ? std::to_string(::getpid()).c_str() : pid.c_str(), 1);
    ::setenv("LISTEN_FDS", count.c_str(), 1);
    ::setenv("LISTEN_FDNAMES", "web", 1);
    const base::Result<std::vector<BindAddress>> taken = take_activation_sockets();
    if (!taken) return taken.error().message;
    std::string text;
    for (const BindAddress& each : *taken) {
      text += each.text();
      text += (::fcntl(each.descriptor, F_GETFD) & FD_CLOEXEC) != 0 ? " " : " inherited ";
    }
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
      if (::getenv(name) != nullptr) text += std::string(name) + " is still set";
    }
    return text;
  });
}

TEST(SocketActivation, SocketsMeantForThisProcessAreTaken) {
  EXPECT_EQ(activation("own", "2"), "fd://3 fd://4 ");
}

TEST(SocketActivation, SocketsMeantForAnotherProcessAreLeft) {
  EXPECT_EQ(activation("1", "2"), "");
  EXPECT_EQ(activation("garbage", "2"), "");
}

TEST(SocketActivation, PromiseWithoutASocketIsAnError) {
  EXPECT_THAT(activation("own", "4000"), StartsWith("LISTEN_FDS promises 4000 sockets"));
}

}  // namespace
}  // namespace corn::os
