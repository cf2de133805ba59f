// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

// An instance that doesn't answer holds up the list no longer than this, or --timeout if that is
// less.
constexpr std::chrono::seconds kPatience{2};

Expected<api::GetStatusResponse> status_of(const Instance& instance,
                                           std::chrono::duration<double> limit) {
  auto connection = connect_to(instance.path, limit);
  if (!connection) return tl::unexpected(std::move(connection).error());
  Client client(std::move(*connection), limit);
  return client.ask(&api::Arbiter::Stub::GetStatus, api::GetStatusRequest());
}

// {"instances": [{"instance": NAME, "address": ADDRESS, "error": WHY} or with "arbiter" and
// "pools", as GetStatus has them]}
class JsonList {
 public:
  void add(const Instance& instance, const Expected<api::GetStatusResponse>& status) {
    google::protobuf::Struct& entry = *(*list_.mutable_fields())["instances"]
                                           .mutable_list_value()
                                           ->add_values()
                                           ->mutable_struct_value();
    if (status) {
      google::protobuf::util::JsonPrintOptions options;
      options.always_print_primitive_fields = true;
      std::string text;
      static_cast<void>(google::protobuf::util::MessageToJsonString(*status, &text, options));
      static_cast<void>(google::protobuf::util::JsonStringToMessage(text, &entry));
    } else {
      (*entry.mutable_fields())["error"].set_string_value(status.error().message);
    }
    (*entry.mutable_fields())["instance"].set_string_value(instance.name);
    (*entry.mutable_fields())["address"].set_string_value("unix:" + instance.path);
  }
  void print() {
    (*list_.mutable_fields())["instances"].mutable_list_value();
    print_json(list_);
  }

 private:
  google::protobuf::Struct list_;
};

std::vector<Table::Cell> row(const Instance& instance,
                             const Expected<api::GetStatusResponse>& status) {
  if (!status) {
    const std::string state =
        status.error().code == ExitCode::kNotAllowed ? "(not allowed)" : "(no answer)";
    return {instance.name, "-", {state, Colour::kBad}, "-", "-", instance.path};
  }
  const std::string& state = api::ArbiterStatus::State_Name(status->arbiter().state());
  std::uint32_t ready = 0;
  std::uint32_t target = 0;
  for (const api::PoolStatus& pool : status->pools()) {
    ready += pool.ready();
    target += pool.target();
  }
  return {instance.name,
          std::to_string(status->arbiter().pid()),
          {state, colour_of_state(state)},
          std::to_string(ready) + "/" + std::to_string(target),
          duration(status->arbiter().uptime_seconds()),
          instance.path};
}

}  // namespace

Outcome run_ls(const Session& session) {
  std::chrono::duration<double> limit = kPatience;
  if (session.timeout) limit = std::min(limit, session.limit(kQuickLimit));
  const std::vector<Instance> instances = running_instances();
  if (session.json) {
    JsonList list;
    for (const Instance& instance : instances) list.add(instance, status_of(instance, limit));
    list.print();
    return {};
  }
  if (instances.empty()) {
    print_line("no instances are running");
    return {};
  }
  using Align = Table::Align;
  Table table({{"INSTANCE", Align::kLeft},
               {"PID", Align::kRight},
               {"STATE", Align::kLeft},
               {"READY", Align::kRight},
               {"UP", Align::kRight},
               {"SOCKET", Align::kLeft}});
  for (const Instance& instance : instances) table.add(row(instance, status_of(instance, limit)));
  table.print();
  return {};
}

}  // namespace corn::ctl
