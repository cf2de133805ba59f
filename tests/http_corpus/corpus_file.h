// SPDX-License-Identifier: Apache-2.0
// Reads and writes the corpus files described in README.md.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/http_corpus/replay.h"

namespace corn::http {

struct CorpusCase {
  std::filesystem::path path;
  ReplayOptions options;
  std::string preamble;  // the file up to and including the line "expect"
  std::string bytes;     // what the client sends
  std::string expected;  // events
};

// Fails with "FILE:LINE: what".
base::Result<CorpusCase> read_corpus_case(const std::filesystem::path& path);

// Every case below `directory`, in order of path; fails on the first that can't be read.
base::Result<std::vector<CorpusCase>> read_corpus(const std::filesystem::path& directory);

}  // namespace corn::http
