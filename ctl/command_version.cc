// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/struct.pb.h>

#include "ctl/commands.h"
#include "ctl/render.h"

namespace corn::ctl {

Outcome run_version(const Session& session) {
  if (session.json) {
    google::protobuf::Struct version;
    (*version.mutable_fields())["version"].set_string_value(CORN_VERSION);
    print_json(version);
  } else {
    print_line("cornctl " CORN_VERSION);
  }
  return {};
}

}  // namespace corn::ctl
