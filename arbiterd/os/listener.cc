// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "arbiterd/os/port_holders.h"

namespace corn::os {
namespace {

constexpr int kFirstActivationDescriptor = 3;  // SD_LISTEN_FDS_START
constexpr int kFirstUnprivilegedPort = 1024;

// A socket address of any family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

tl::unexpected<base::Error> cannot_listen(const BindAddress& address, const std::string& reason,
                                          int error) {
  return base::fail("cannot listen on " + address.text() + ": " + reason, error);
}

std::string with_remedy(int error, const std::string& remedy) {
  return std::string(std::strerror(error)) + (remedy.empty() ? "" : "; " + remedy);
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string tcp_remedy(const BindAddress& address, int error) {
  switch (error) {
    case EADDRINUSE:
      return describe_port_holders(address.port);
    case EACCES:
      return address.port < kFirstUnprivilegedPort
                 ? "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE "
                   "(AmbientCapabilities= of a systemd unit)"
                 : "";
    case EADDRNOTAVAIL:
      return "no interface of this machine has that address (list them with: ip address)";
    case EAFNOSUPPORT:
      return "this machine has that address family switched off";
    default:
      return "";
  }
}

std::string unix_remedy(const BindAddress& address, int error) {
  const std::string directory = directory_of(address.path);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return "create the directory " + directory + " first";
    case EACCES:
    case EPERM:
    case EROFS:
      return "the directory " + directory + " must be writable for uid " +
             std::to_string(::geteuid());
    default:
      return "";
  }
}

// The first address of `host`, IPv4 before IPv6, which is what gunicorn binds to.
base::Result<SocketAddress> resolve(const BindAddress& address) {
  addrinfo hints{};
  hints.ai_family = address.host.find(':') == std::string::npos ? AF_INET : AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const std::string port = std::to_string(address.port);
  addrinfo* list = nullptr;
  int error = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &list);
  if (error != 0 && hints.ai_family == AF_INET) {
    hints.ai_family = AF_INET6;
    if (::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &list) == 0) error = 0;
  }
  if (error != 0) {
    const int system_error = error == EAI_SYSTEM ? errno : 0;
    const std::string reason =
        error == EAI_SYSTEM ? std::strerror(system_error) : ::gai_strerror(error);
    return cannot_listen(address,
                         "the host name '" + address.host + "' has no address here (" + reason +
                             "); check its spelling and /etc/hosts, or write the address itself",
                         system_error);
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  SocketAddress result;
  std::memcpy(&result.storage, list->ai_addr, list->ai_addrlen);
  result.size = list->ai_addrlen;
  return result;
}

// Of an IPv4 or IPv6 address, without brackets and port.
std::string numeric_host(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool ipv4 = address.storage.ss_family == AF_INET;
  const void* const host =
      ipv4 ? static_cast<const void*>(
                 &reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr)
           : &reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
  ::inet_ntop(address.storage.ss_family, host, text.data(), text.size());
  return text.data();
}

SocketAddress unix_address(const BindAddress& address) {
  SocketAddress result;
  auto* const name = reinterpret_cast<sockaddr_un*>(&result.storage);
  name->sun_family = AF_UNIX;
  const bool abstract = address.kind == BindAddress::Kind::kUnixAbstract;
  std::memcpy(name->sun_path + (abstract ? 1 : 0), address.path.data(), address.path.size());
  // Behind a path comes a NUL, which counts; in front of an abstract name too.
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
  return result;
}

// bind(2) with the given umask. The umask belongs to the process: no other thread may be creating
// files whose mode matters.
int bind_with_umask(int fd, const SocketAddress& where, mode_t umask) {
  const mode_t before = ::umask(umask);
  const int error = ::bind(fd, where.get(), where.size) == 0 ? 0 : errno;
  ::umask(before);
  return error;
}

// Removes the file at the address if it is a socket on which nobody listens. Returns an empty
// string when the address is free for another bind, otherwise why it isn't.
std::string remove_stale_socket(const BindAddress& address, const SocketAddress& where) {
  struct stat tested {};
  if (::lstat(address.path.c_str(), &tested) != 0) return "";
  if (!S_ISSOCK(tested.st_mode)) {
    return "a file that is not a socket is in the way; remove it or choose another path";
  }
  const base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return std::string("cannot test the existing socket: ") + std::strerror(errno);
  if (::connect(probe.get(), where.get(), where.size) == 0 || errno == EAGAIN ||
      errno == EPROTOTYPE) {
    return "another program listens there (find it with: ss -lxp src " + address.path + ")";
  }
  if (errno == ENOENT) return "";
  if (errno != ECONNREFUSED) {
    return std::string("cannot test whether the existing socket is in use: ") +
           std::strerror(errno);
  }
  struct stat current {};
  if (::lstat(address.path.c_str(), &current) == 0 && current.st_ino == tested.st_ino &&
      current.st_dev == tested.st_dev && ::unlink(address.path.c_str()) != 0) {
    return std::string("cannot remove the stale socket: ") + std::strerror(errno);
  }
  return "";
}

base::Result<int> socket_option(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) {
    return base::fail_errno("getsockopt", errno);
  }
  return value;
}

base::Status set_flag(int fd, int level, int option, const char* name) {
  const int on = 1;
  if (::setsockopt(fd, level, option, &on, sizeof(on)) == 0) return {};
  return base::fail_errno(std::string("set ") + name, errno);
}

std::optional<int> environment_number(const char* name) {
  const char* const text = ::getenv(name);
  if (text == nullptr) return std::nullopt;
  int number = 0;
  const char* const end = text + std::strlen(text);
  const auto parsed = std::from_chars(text, end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

}  // namespace

base::Result<Listener> Listener::open(const BindAddress& address, const ListenOptions& options) {
  Listener listener;
  listener.address_ = address;
  base::Status status;
  switch (address.kind) {
    case BindAddress::Kind::kTcp:
      status = listener.open_tcp(options);
      break;
    case BindAddress::Kind::kUnix:
    case BindAddress::Kind::kUnixAbstract:
      status = listener.open_unix(options);
      break;
    case BindAddress::Kind::kDescriptor:
      status = listener.take_descriptor();
      break;
  }
  if (status) status = listener.describe();
  if (!status) return tl::unexpected(status.error());
  return listener;
}

base::Result<Listener> Listener::adopt(const BindAddress& address, base::UniqueFd socket,
                                       std::optional<FileIdentity> file) {
  Listener listener;
  listener.address_ = address;
  listener.socket_ = std::move(socket);
  listener.file_ = file;
  if (auto status = listener.describe(); !status) {
    listener.file_.reset();  // not known to be ours
    return tl::unexpected(status.error());
  }
  return listener;
}

Listener::Listener(Listener&& other) noexcept
    : address_(std::move(other.address_)),
      socket_(std::move(other.socket_)),
      info_(std::move(other.info_)),
      file_(std::exchange(other.file_, std::nullopt)) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this == &other) return *this;
  remove_file();
  address_ = std::move(other.address_);
  socket_ = std::move(other.socket_);
  info_ = std::move(other.info_);
  file_ = std::exchange(other.file_, std::nullopt);
  return *this;
}

Listener::~Listener() { remove_file(); }

bool Listener::is_at(const BindAddress& address) const {
  switch (address.kind) {
    case BindAddress::Kind::kTcp: {
      if (info_.unix_socket || address.port != info_.port) return false;
      const auto where = resolve(address);
      return where && numeric_host(*where) == info_.host;
    }
    case BindAddress::Kind::kUnix:
      return info_.unix_socket && info_.host == address.path;
    case BindAddress::Kind::kUnixAbstract:
      return info_.unix_socket && info_.host == '@' + address.path;
    case BindAddress::Kind::kDescriptor:
      return address_.kind == address.kind && address_.descriptor == address.descriptor;
  }
  return false;
}

void Listener::remove_file() {
  const std::optional<FileIdentity> file = std::exchange(file_, std::nullopt);
  if (!file) return;
  struct stat status {};
  if (::lstat(address_.path.c_str(), &status) != 0) return;
  if (status.st_dev == file->device && status.st_ino == file->inode) {
    ::unlink(address_.path.c_str());
  }
}

base::Status Listener::open_tcp(const ListenOptions& options) {
  const base::Result<SocketAddress> where = resolve(address_);
  if (!where) return tl::unexpected(where.error());
  socket_.reset(::socket(where->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) {
    const int error = errno;  // which the search for a remedy changes
    return cannot_listen(address_, with_remedy(error, tcp_remedy(address_, error)), error);
  }
  base::Status status = set_flag(socket_.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR");
  // Accepted connections inherit it: without it an answer in several pieces waits for the client's
  // delayed acknowledgement, 40 ms.
  if (status) status = set_flag(socket_.get(), IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY");
  if (status && options.reuse_port) {
    status = set_flag(socket_.get(), SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT");
  }
  if (!status) return cannot_listen(address_, status.error().message, status.error().os_errno);
  if (::bind(socket_.get(), where->get(), where->size) != 0 ||
      ::listen(socket_.get(), options.backlog) != 0) {
    const int error = errno;  // which the search for a remedy changes
    return cannot_listen(address_, with_remedy(error, tcp_remedy(address_, error)), error);
  }
  return {};
}

base::Status Listener::open_unix(const ListenOptions& options) {
  const bool has_file = address_.kind == BindAddress::Kind::kUnix;
  const SocketAddress where = unix_address(address_);
  socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) return cannot_listen(address_, std::strerror(errno), errno);

  int error = bind_with_umask(socket_.get(), where, options.umask);
  if (error == EADDRINUSE && has_file) {
    const std::string obstacle = remove_stale_socket(address_, where);
    if (!obstacle.empty()) {
      return cannot_listen(address_, with_remedy(error, obstacle), error);
    }
    error = bind_with_umask(socket_.get(), where, options.umask);
  }
  if (error != 0) {
    const std::string remedy = has_file ? unix_remedy(address_, error) : "";
    return cannot_listen(address_, with_remedy(error, remedy), error);
  }

  if (has_file) {
    struct stat status {};
    if (::lstat(address_.path.c_str(), &status) != 0) {
      return cannot_listen(address_, std::strerror(errno), errno);
    }
    file_ = FileIdentity{status.st_dev, status.st_ino};
    if (options.owner &&
        ::lchown(address_.path.c_str(), options.owner->uid, options.owner->gid) != 0) {
      const int chown_error = errno;
      return cannot_listen(address_,
                           "cannot give the socket to uid " + std::to_string(options.owner->uid) +
                               ", gid " + std::to_string(options.owner->gid) + ": " +
                               std::strerror(chown_error),
                           chown_error);
    }
  }
  if (::listen(socket_.get(), options.backlog) != 0) {
    return cannot_listen(address_, std::strerror(errno), errno);
  }
  return {};
}

base::Status Listener::take_descriptor() {
  const int fd = address_.descriptor;
  const base::Result<int> type = socket_option(fd, SO_TYPE);
  if (!type) {
    const bool open = type.error().os_errno != EBADF;
    return cannot_listen(address_,
                         open ? "the descriptor is not a socket"
                              : "the descriptor is not open; the program that starts arbiterd must "
                                "pass it on",
                         type.error().os_errno);
  }
  const base::Result<int> listening = socket_option(fd, SO_ACCEPTCONN);
  const base::Result<int> family = socket_option(fd, SO_DOMAIN);
  if (!listening || !family) return cannot_listen(address_, "the socket can't be examined", errno);
  if (*type != SOCK_STREAM || *listening == 0) {
    return cannot_listen(address_,
                         "the socket is not a stream socket that listens; bind it and call "
                         "listen() on it before passing it on",
                         0);
  }
  if (*family != AF_INET && *family != AF_INET6 && *family != AF_UNIX) {
    return cannot_listen(address_, "the socket is neither TCP nor unix", 0);
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return cannot_listen(address_, std::strerror(errno), errno);
  }
  if (*family != AF_UNIX) {
    const base::Status status = set_flag(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY");
    if (!status) return cannot_listen(address_, status.error().message, status.error().os_errno);
  }
  socket_.reset(fd);
  return {};
}

base::Status Listener::describe() {
  SocketAddress bound;
  bound.size = sizeof(bound.storage);
  if (::getsockname(socket_.get(), bound.get(), &bound.size) != 0) {
    return cannot_listen(address_, std::strerror(errno), errno);
  }
  switch (bound.storage.ss_family) {
    case AF_INET: {
      const auto* const name = reinterpret_cast<const sockaddr_in*>(&bound.storage);
      info_.host = numeric_host(bound);
      info_.port = ntohs(name->sin_port);
      info_.url = "http://" + info_.host + ":" + std::to_string(info_.port);
      return {};
    }
    case AF_INET6: {
      const auto* const name = reinterpret_cast<const sockaddr_in6*>(&bound.storage);
      info_.host = numeric_host(bound);
      info_.port = ntohs(name->sin6_port);
      info_.url = "http://[" + info_.host + "]:" + std::to_string(info_.port);
      return {};
    }
    default: {
      const auto* const name = reinterpret_cast<const sockaddr_un*>(&bound.storage);
      std::string path(name->sun_path, bound.size - offsetof(sockaddr_un, sun_path));
      if (!path.empty() && path.front() == '\0') {
        path.front() = '@';
      } else {
        path.resize(std::strlen(path.c_str()));
      }
      info_.host = path;
      info_.unix_socket = true;
      info_.url = "unix:" + path;
      return {};
    }
  }
}

std::uint64_t socket_inode(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

base::Result<std::vector<BindAddress>> take_activation_sockets() {
  const std::optional<int> pid = environment_number("LISTEN_PID");
  const std::optional<int> count = environment_number("LISTEN_FDS");
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  std::vector<BindAddress> addresses;
  if (!pid || *pid != ::getpid() || !count) return addresses;
  for (int fd = kFirstActivationDescriptor; fd < kFirstActivationDescriptor + *count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return base::fail_errno("LISTEN_FDS promises " + std::to_string(*count) +
                                  " sockets, but descriptor " + std::to_string(fd),
                              errno);
    }
    BindAddress address;
    address.kind = BindAddress::Kind::kDescriptor;
    address.descriptor = fd;
    address.activated = true;
    addresses.push_back(std::move(address));
  }
  return addresses;
}

}  // namespace corn::os
