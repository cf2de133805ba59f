// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "workerd/server/async_class.h"
#include "workerd/server/strand_class.h"
#include "workerd/server/worker_class.h"

namespace corn::server {
namespace {

// Where bodies are spilled when no directory is set: gunicorn's default, Python's
// tempfile.gettempdir().
std::string spill_directory(const base::WorkerConfig& config) {
  if (!config.upload_directory.empty()) return config.upload_directory;
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory != '\0' ? directory : "/tmp";
}

// An asynchronous application takes a body as it comes: as much is held as it may lag behind, and
// nothing beyond memory, except for what is read at once.
BodyStoreOptions body_store(const base::WorkerConfig& config, app::Application& application) {
  const bool streams = application.asynchronous() != nullptr;
  constexpr std::uint64_t kMost = 256 * 1024;
  const std::uint64_t held = std::min<std::uint64_t>(config.body_memory, kMost);
  return {config.body_memory, streams ? held : config.body_memory * BodyStoreOptions::kSpillFactor,
          spill_directory(config)};
}

// Requests until the worker wants to be replaced; 0: never. The jitter keeps a pool's workers from
// all getting there together.
std::uint64_t request_limit(const base::WorkerConfig& config) {
  if (config.max_requests == 0) return 0;
  std::random_device seed;
  std::mt19937_64 random(seed());
  std::uniform_int_distribution<std::uint64_t> jitter(0, config.max_requests_jitter);
  return config.max_requests + jitter(random);
}

}  // namespace

class Server::Engine {
 public:
  Engine(const base::WorkerConfig& config, std::vector<base::UniqueFd> listeners,
         base::ScoreboardMap& scoreboard, app::Application& application,
         RetiringCallback on_retiring, HandOffEnds hand_off, base::LogOutlets outlets)
      : config_(config),
        outlets_(std::move(outlets)),
        scoreboard_(scoreboard),
        on_retiring_(std::move(on_retiring)),
        request_limit_(request_limit(config)),
        parser_(http::ParserOptions::from(config)),
        body_store_(body_store(config, application)),
        commons_{config,
                 parser_,
                 body_store_,
                 forwarded_scheme_,
                 *scoreboard,
                 access_log_,
                 application.asynchronous() != nullptr},
        worker_class_(make_class(application)),
        reactor_(commons_, trusted_, proxies_, std::move(listeners), std::move(hand_off),
                 *worker_class_) {}

  ~Engine() { worker_class_.reset(); }  // no thread is inside when connections end
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  base::Status prepare(base::UniqueFd access_log) {
    auto trusted = TrustedPeers::parse("forwarded_allow_ips", config_.forwarded_allow_ips);
    if (!trusted) return tl::unexpected<base::Error>(trusted.error());
    trusted_ = std::move(*trusted);
    auto proxies = TrustedPeers::parse("proxy_allow_ips", config_.proxy_allow_ips);
    if (!proxies) return tl::unexpected<base::Error>(proxies.error());
    proxies_ = std::move(*proxies);
    auto scheme = ForwardedScheme::parse(config_.secure_scheme_headers);
    if (!scheme) return tl::unexpected<base::Error>(scheme.error());
    forwarded_scheme_ = std::move(*scheme);
    const auto escape =
        config_.log_json ? AccessFormat::Escape::kJson : AccessFormat::Escape::kText;
    if (auto opened = access_log_.open(config_.access_log, config_.access_log_format, escape,
                                       outlets_, std::move(access_log));
        !opened) {
      return opened;
    }
    return reactor_.open();
  }

  void on_close(std::function<void(bool)> tell) { reactor_.on_close(std::move(tell)); }

  int run() {
    worker_class_->run(reactor_);
    access_log_.flush();
    return 0;
  }

  [[nodiscard]] bool left_behind() const { return worker_class_->left_behind(); }

  void drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last) {
    reactor_.drain(grace, empty_backlog, may_be_last);
    worker_class_->summon();
  }

  void end_overdue(base::Milliseconds limit, base::Milliseconds grace,
                   std::function<void()> only_overdue_left) {
    const base::TimePoint newest = std::chrono::steady_clock::now() - limit;
    std::size_t hanging = 0;
    for (const base::SlotView& slot : scoreboard_.read(true).slots) {
      if (slot.request_start && *slot.request_start <= newest) ++hanging;
    }
    reactor_.end_overdue(newest, grace, hanging >= scoreboard_.slot_count(),
                         std::move(only_overdue_left));
    worker_class_->summon();
  }

  void quit() { reactor_.quit(); }

  void reopen_logs(int access_log) {
    if (auto reopened = access_log_.reopen(access_log); !reopened) {
      base::log_error("{}; the old file stays in use", reopened.error().message);
    }
  }

  void flush_logs() { access_log_.flush_unless_busy(); }

  void abort_requests(base::Milliseconds limit) {
    reactor_.abort(limit, [this, limit] { worker_class_->rescue(limit); });
    flush_logs();
  }

  [[nodiscard]] std::string describe_requests() const {
    std::string text;
    const auto now = std::chrono::steady_clock::now();
    for (const base::SlotView& slot : scoreboard_.read(true).slots) {
      if (!slot.request_start) continue;
      const std::chrono::duration<double> spent = now - *slot.request_start;
      fmt::format_to(std::back_inserter(text), "thread {}: {} {}, for {:.1f} s\n", slot.thread_id,
                     base::printable(slot.method), base::printable(slot.target), spent.count());
    }
    return text;
  }

 private:
  std::unique_ptr<WorkerClass> make_class(app::Application& application) {
    const auto answered = [this] { count_request(); };
    app::HostLoop* host = application.host_loop();
    app::AsyncApplication* asynchronous = application.asynchronous();
    if (host != nullptr && asynchronous != nullptr) {
      return std::make_unique<AsyncClass>(*host, scoreboard_, *asynchronous, answered);
    }
    if (app::Strands* strands = application.strands(); strands != nullptr) {
      return std::make_unique<StrandClass>(*strands, scoreboard_, application, answered);
    }
    if (config_.worker_class == base::WorkerClass::kThreads) {
      return std::make_unique<ThreadsClass>(config_.threads, scoreboard_, application, answered);
    }
    return std::make_unique<SyncClass>(scoreboard_, application, answered);
  }

  void count_request() {
    if (request_limit_ == 0) return;
    const std::uint64_t count = requests_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (count == request_limit_ && on_retiring_) on_retiring_();
  }

  // Constant after prepare().
  const base::WorkerConfig& config_;
  const base::LogOutlets outlets_;
  base::ScoreboardMap& scoreboard_;
  const RetiringCallback on_retiring_;
  const std::uint64_t request_limit_;
  const http::ParserOptions parser_;
  const BodyStoreOptions body_store_;
  TrustedPeers trusted_;
  TrustedPeers proxies_;
  ForwardedScheme forwarded_scheme_;

  AccessLog access_log_;
  ConnectionCommons commons_;
  std::atomic<std::uint64_t> requests_{0};
  std::unique_ptr<WorkerClass> worker_class_;
  Reactor reactor_;
};

Server::Server(const base::WorkerConfig& config, std::vector<base::UniqueFd> listeners,
               base::ScoreboardMap& scoreboard, app::Application& application,
               RetiringCallback on_retiring, HandOffEnds hand_off, base::LogOutlets outlets)
    : engine_(std::make_unique<Engine>(config, std::move(listeners), scoreboard, application,
                                       std::move(on_retiring), std::move(hand_off),
                                       std::move(outlets))) {}

Server::~Server() = default;

base::Status Server::prepare(base::UniqueFd access_log) {
  return engine_->prepare(std::move(access_log));
}

void Server::on_close(std::function<void(bool nobody_left)> tell) {
  engine_->on_close(std::move(tell));
}

int Server::run() { return engine_->run(); }

bool Server::left_behind() const { return engine_->left_behind(); }

void Server::drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last) {
  engine_->drain(grace, empty_backlog, may_be_last);
}

void Server::end_overdue(base::Milliseconds limit, base::Milliseconds grace,
                         std::function<void()> only_overdue_left) {
  engine_->end_overdue(limit, grace, std::move(only_overdue_left));
}

void Server::quit() { engine_->quit(); }

void Server::flush_logs() { engine_->flush_logs(); }

void Server::reopen_logs(int access_log) { engine_->reopen_logs(access_log); }

void Server::abort_requests(base::Milliseconds limit) { engine_->abort_requests(limit); }

std::string Server::describe_requests() const { return engine_->describe_requests(); }

}  // namespace corn::server
