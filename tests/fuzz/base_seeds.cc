// SPDX-License-Identifier: Apache-2.0
// make_base_seeds OUTPUT: writes seeds for the targets of channel messages and settings, in
// directories OUTPUT/fuzz_NAME: every kind of message, and every setting from every source.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <variant>

#include "arbiterd/config/schema.h"
#include "base/check.h"
#include "base/message.h"
#include "tests/fuzz/settings_answer.h"

namespace corn {
namespace {

class SeedWriter {
 public:
  SeedWriter(const std::filesystem::path& root, const char* target)
      : directory_(root / (std::string("fuzz_") + target)) {
    std::filesystem::create_directories(directory_);
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(directory_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path directory_;
};

template <std::size_t I = 0>
void write_empty_messages(const SeedWriter& writer) {
  if constexpr (I < std::variant_size_v<base::Message>) {
    const auto bytes = base::encode(std::variant_alternative_t<I, base::Message>{});
    CORN_CHECK(bytes.has_value());
    writer.write("empty_" + std::to_string(I), *bytes);
    write_empty_messages<I + 1>(writer);
  }
}

void write_messages(const SeedWriter& writer) {
  write_empty_messages(writer);
  base::WorkerConfig config;
  config.application = "shop:app";
  config.python_path = {"/srv/a", ""};
  config.listeners = {{"http://127.0.0.1:8000", "127.0.0.1", 8000, false},
                      {"unix:/run/a.sock", "/run/a.sock", 0, true}};
  const base::Message messages[] = {
      base::Configure{config},
      base::Drain{base::Milliseconds(30000), true},
      base::Hello{1234, "1.0"},
      base::BootFailed{base::BootFailure::kApplication, "no module shop\nTraceback"},
      base::Retiring{"max-requests"},
      base::DumpResult{7, "no stacks", {{1, "File"}}},
      base::ConfigValues{{{"workers", "2", "", 3}, {"post_fork", "", "function", 9}}},
      base::ConfigFailed{"gunicorn.conf.py:3: NameError"},
      base::Unsupported{99, 1},
  };
  for (const base::Message& message : messages) {
    writer.write("full_" + std::to_string(message.index()), *base::encode(message));
  }
}

std::string in_toml(const config::Setting& setting) {
  const std::string text(setting.default_text);
  const bool quoted = text.empty() || text.find_first_not_of("0123456789.") != std::string::npos;
  const std::string value =
      text == "true" || text == "false" ? text : (quoted ? "\"" + text + "\"" : text);
  return std::string(setting.name) + " = " + value + "\n";
}

std::string first_flag(const config::Setting& setting) {
  return std::string(setting.flags.substr(0, setting.flags.find(',')));
}

void write_settings(const SeedWriter& files, const SeedWriter& options) {
  const auto file = [&](const std::string& name, config::FileSource source,
                        const std::string& text) {
    files.write(name, static_cast<char>(source) + text);
  };
  const auto option = [&](const std::string& name, config::OptionSource source,
                          const std::string& text) {
    options.write(name, static_cast<char>(source) + text);
  };
  std::string arbiter = "[arbiter]\n";
  std::string pool = "[pool.web]\nwsgi_app = \"app\"\n";
  for (const config::Setting& setting : config::schema()) {
    const std::string name(setting.name);
    const std::string value(setting.default_text.empty() ? "1" : setting.default_text);
    const bool for_arbiter = setting.scope == config::Scope::kArbiter;
    const std::string line = in_toml(setting);
    file("toml_" + name, config::FileSource::kToml,
         (for_arbiter ? "[arbiter]\n" : "[pool.web]\nwsgi_app = \"app\"\n") + line);
    file("python_" + name, config::FileSource::kPython,
         "wsgi_app=\"app\"\n" + name + "=" + line.substr(name.size() + 3));
    if (setting.support != config::Support::kRefused && !setting.default_text.empty()) {
      (for_arbiter ? arbiter : pool) += line;
    }
    if (setting.flags.empty()) continue;
    option("line_" + name, config::OptionSource::kCommandLine,
           first_flag(setting) + "\n" + value + "\napp:make()");
    if (!setting.environment.empty()) {
      option("environment_" + name, config::OptionSource::kVariables,
             std::string(setting.environment) + "=" + value);
    }
  }
  option("variable", config::OptionSource::kVariables,
         "CORN_CMD_ARGS=--workers '2' -b unix:\"a b\" app\\:x");
  file("toml_all", config::FileSource::kToml, arbiter + pool);
  file("toml_pools", config::FileSource::kToml,
       "[pool.a]\nwsgi_app = \"a\"\nbind = [\"127.0.0.1:1\", \"unix:s\"]\nraw_env = [\"A=b\"]\n"
       "[pool.b]\nwsgi_app = 'b'\nbind = \"[::1]:2\"\nworker_class = \"gthread\"\nthreads = 8\n");
}

}  // namespace
}  // namespace corn

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_base_seeds OUTPUT\n");
    return 2;
  }
  corn::write_messages({argv[1], "channel_message"});
  corn::write_settings({argv[1], "settings_files"}, {argv[1], "settings_options"});
  return 0;
}
