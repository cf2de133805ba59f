// SPDX-License-Identifier: Apache-2.0
// Plays the files of tests/http_corpus.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "tests/http_corpus/corpus_file.h"
#include "tests/http_corpus/replay.h"

namespace corn::http {

// What GoogleTest prints of a parameter.
void PrintTo(const CorpusCase& corpus_case, std::ostream* out) {
  *out << corpus_case.path.filename().string();
}

namespace {

constexpr int kRandomSplits = 20;
constexpr std::size_t kMinimumCases = 120;

std::vector<CorpusCase> load() {
  auto cases = read_corpus(std::string(CORN_SOURCE_DIR) + "/tests/http_corpus");
  if (!cases) {
    std::fprintf(stderr, "%s\n", cases.error().message.c_str());
    std::abort();
  }
  return std::move(*cases);
}

const std::vector<CorpusCase>& corpus() {
  static const std::vector<CorpusCase> cases = load();
  return cases;
}

std::string play_whole(const CorpusCase& corpus_case) {
  Replay replay(corpus_case.options);
  replay.receive(corpus_case.bytes);
  return replay.events();
}

std::string play_byte_by_byte(const CorpusCase& corpus_case) {
  Replay replay(corpus_case.options);
  for (const char byte : corpus_case.bytes) replay.receive({&byte, 1});
  return replay.events();
}

std::string play_in_random_pieces(const CorpusCase& corpus_case, std::mt19937& random) {
  Replay replay(corpus_case.options);
  std::string_view rest = corpus_case.bytes;
  while (!rest.empty()) {
    // Mostly short pieces, so that cuts fall inside tokens and line ends.
    const std::size_t longest =
        random() % 4 == 0 ? rest.size() : std::min<std::size_t>(rest.size(), 9);
    const std::size_t size = 1 + random() % longest;
    replay.receive(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return replay.events();
}

class Corpus : public testing::TestWithParam<CorpusCase> {};

TEST_P(Corpus, GivesTheExpectedEventsHoweverItIsCut) {
  const CorpusCase& corpus_case = GetParam();
  const std::string whole = play_whole(corpus_case);
  if (std::getenv("CORN_REWRITE") != nullptr) {
    std::ofstream(corpus_case.path) << corpus_case.preamble << whole;
  } else {
    EXPECT_EQ(whole, corpus_case.expected);
  }
  EXPECT_EQ(play_byte_by_byte(corpus_case), whole);
  std::mt19937 random(20260131);
  for (int i = 0; i < kRandomSplits; ++i) {
    EXPECT_EQ(play_in_random_pieces(corpus_case, random), whole);
  }
}

TEST_P(Corpus, EndsInAnErrorExactlyWhenItIsInvalid) {
  const bool invalid = GetParam().path.parent_path().filename() == "invalid";
  const std::string events = play_whole(GetParam());
  const std::string last_line = events.substr(events.rfind('\n', events.size() - 2) + 1);
  EXPECT_EQ(last_line.starts_with("error "), invalid) << events;
}

std::string name_of(const testing::TestParamInfo<CorpusCase>& info) {
  std::string name = info.param.path.stem().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return info.param.path.parent_path().filename().string() + "_" + name;
}

INSTANTIATE_TEST_SUITE_P(Files, Corpus, testing::ValuesIn(corpus()), name_of);

TEST(CorpusSize, HasNotShrunk) { EXPECT_GE(corpus().size(), kMinimumCases); }

}  // namespace
}  // namespace corn::http
