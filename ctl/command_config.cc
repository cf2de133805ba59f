// SPDX-License-Identifier: Apache-2.0
// config show and config check.
#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {

Outcome run_config_show(const Session& session, const ConfigShowArguments& arguments) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  api::GetConfigRequest request;
  request.set_pool(arguments.pool);
  auto config = client->ask(&api::Arbiter::Stub::GetConfig, request);
  if (!config) return tl::unexpected(config.error());
  if (arguments.changed) {
    auto& settings = *config->mutable_settings();
    settings.erase(std::remove_if(settings.begin(), settings.end(),
                                  [](const api::GetConfigResponse::Setting& setting) {
                                    return setting.origin() == "default";
                                  }),
                   settings.end());
  }
  if (session.json) {
    print_json(*config);
    return {};
  }
  // One table for each run of settings of one pool; a name and a value fit half a line each, and
  // where they don't, the value is cut, since --json has all of it.
  constexpr std::size_t kLongestValue = 30;
  for (int next = 0; next < config->settings_size();) {
    const std::string pool = config->settings(next).pool();
    if (next != 0) print_line("");
    print_line(pool.empty() ? "[arbiter]" : "[pool." + harmless(pool) + "]");
    Table table({{"SETTING", Table::Align::kLeft},
                 {"VALUE", Table::Align::kLeft},
                 {"FROM", Table::Align::kLeft}});
    for (; next < config->settings_size() && config->settings(next).pool() == pool; ++next) {
      const api::GetConfigResponse::Setting& setting = config->settings(next);
      table.add(
          {setting.name(),
           fit(setting.value(), kLongestValue),
           {setting.origin(), setting.origin() == "default" ? Colour::kFaint : Colour::kNone}});
    }
    table.print();
  }
  return {};
}

Outcome run_config_check(const Session& session, const ConfigCheckArguments& arguments) {
  std::error_code error;
  const std::filesystem::path file = std::filesystem::absolute(arguments.file, error);
  if (error) {
    return fail(ExitCode::kUsage,
                "cannot tell where '" + arguments.file + "' is: " + error.message());
  }
  auto client = Client::connect(session, kWaitingLimit);
  if (!client) {
    Failure failure = client.error();
    if (failure.code == ExitCode::kNotReachable) {
      failure.message += ". Without an arbiter, use: arbiterd --check-config -c " + arguments.file;
    }
    return tl::unexpected(std::move(failure));
  }
  api::CheckConfigRequest request;
  request.set_file(file.lexically_normal().string());
  request.set_load_applications(arguments.load);
  const auto checked = client->ask(&api::Arbiter::Stub::CheckConfig, request);
  if (!checked) return tl::unexpected(checked.error());
  if (session.json) print_json(*checked);
  if (!checked->valid()) {
    return fail(ExitCode::kFailed, session.json ? "" : checked->text());
  }
  if (!session.json) {
    print_line(checked->text().empty() ? arguments.file + " is valid" : harmless(checked->text()));
  }
  return {};
}

}  // namespace corn::ctl
