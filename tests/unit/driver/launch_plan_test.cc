// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/launch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace corn::driver {
namespace {

// Records what it is asked to launch, and reads what waits in the child's channel.
class RecordingLauncher final : public os::ProcessLauncher {
 public:
  base::Result<os::Child> launch(const os::LaunchSpec& spec) override {
    recorded = spec;
    for (const os::DescriptorMapping& mapping : spec.descriptors) {
      if (mapping.target != base::kChannelFd) continue;
      base::Channel channel(base::UniqueFd(::dup(mapping.source)));
      auto received = channel.receive();
      if (received && *received) message = std::move(**received);
    }
    return os::Child{};
  }
  os::LaunchSpec recorded;
  std::optional<base::Message> message;
};

TEST(LaunchWorkerd, JobWaitsInTheChannelWhenTheChildStarts) {
  RecordingLauncher launcher;
  base::WorkerConfig config;
  config.application = "shop:app";
  ASSERT_TRUE(launch_workerd(launcher, {}, {}, config, {}));
  ASSERT_TRUE(launcher.message);
  EXPECT_EQ(std::get<base::Configure>(*launcher.message).config.application, "shop:app");
}

TEST(LaunchWorkerd, PoolsEnvironmentReplacesArbiterdsOwn) {
  RecordingLauncher launcher;
  LaunchContext context;
  context.environment = {"PATH=/bin", "MODE=old", "MODEL=kept"};
  config::PoolSettings pool;
  pool.environment = {"MODE=new"};
  ASSERT_TRUE(launch_workerd(launcher, context, pool, {}, {}));
  EXPECT_EQ(launcher.recorded.environment,
            (std::vector<std::string>{"PATH=/bin", "MODEL=kept", "MODE=new"}));
}

TEST(LaunchWorkerd, WorkerMayOpenAsManyDescriptorsAsItsConnectionsNeed) {
  RecordingLauncher launcher;
  LaunchContext context;
  context.descriptor_limit = {1024, 1048576};
  base::WorkerConfig config;
  config.worker_connections = 5000;
  ASSERT_TRUE(launch_workerd(launcher, context, {}, config, {}));
  ASSERT_EQ(launcher.recorded.limits.size(), 1U);
  EXPECT_GE(launcher.recorded.limits[0].limit.rlim_cur, 10000U) << "and as many handed over";
  config.worker_connections = 10;
  ASSERT_TRUE(launch_workerd(launcher, context, {}, config, {}));
  EXPECT_EQ(launcher.recorded.limits[0].limit.rlim_cur, 1024U) << "as arbiterd found it";
}

TEST(LaunchWorkerd, UnknownUserIsAnErrorNamingIt) {
  RecordingLauncher launcher;
  config::PoolSettings pool;
  pool.user = "no-such-user-here";
  const auto launched = launch_workerd(launcher, {}, pool, {}, {});
  ASSERT_FALSE(launched);
  EXPECT_NE(launched.error().message.find("no-such-user-here"), std::string::npos);
}

TEST(FindWorkerd, NamesEveryPlaceThatWasTried) {
  const auto found = find_workerd("/nonexistent/workerd");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("/nonexistent/workerd"), std::string::npos);
  EXPECT_NE(found.error().message.find("--workerd"), std::string::npos);
}

}  // namespace
}  // namespace corn::driver
