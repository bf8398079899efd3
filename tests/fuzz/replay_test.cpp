// The fuzz targets over their corpora and a few thousand seeded mutations of them, so that neither rots where
// no fuzzer runs. What libFuzzer finds is kept as a file of the corpus.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "engine/core/json.h"
#include "tests/fuzz/targets.h"

namespace thalweg {
namespace {

struct Target {
  const char* name;
  void (*run)(std::string_view);
  size_t mutations;
  const char* more;  // a folder of further seeds
};

void PrintTo(const Target& target, std::ostream* out) {
  *out << target.name;
}

const Target kTargets[] = {
    {"safetensors", fuzz::safetensors, 100000, nullptr},
    {"job", fuzz::job, 20000, "assets/jobs"},
    {"tokenizer", fuzz::tokenizer, 10000, nullptr},
    {"png", fuzz::png, 20000, nullptr},
    {"jpeg", fuzz::jpeg, 10000, nullptr},
    {"config", fuzz::config, 50000, nullptr},
    {"video", fuzz::video, 2000, nullptr},
    {"http", fuzz::http, 20000, nullptr},
};

std::vector<std::string> corpus_of(const Target& target) {
  std::vector<std::filesystem::path> paths;
  const auto add = [&](const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  };
  add(std::filesystem::path(THALWEG_SOURCE_DIR) / "tests/fuzz/corpus" / target.name);
  if (target.more) add(std::filesystem::path(THALWEG_SOURCE_DIR) / target.more);
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths) corpus.push_back(read_file(path));
  return corpus;
}

/// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t bound) {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % bound;
  }

 private:
  uint64_t state_;
};

/// One edit: a byte, a number, a piece cut out, doubled, or taken from another input.
void mutate(std::string& bytes, const std::string& other, Random& random) {
  constexpr const char* kPieces[] = {
      "-1",   "0",      "18446744073709551615", "9223372036854775808", "1e400", "null", "[]", "{}",
      "\"\"", "\\u0000"};
  const auto at = random.below(bytes.size() + 1);
  const auto length = std::min<size_t>(1 + random.below(8), bytes.size() - at);
  switch (random.below(6)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(random.below(256));
      return;
    case 1:
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      return;
    case 2:
      bytes.erase(at, length);
      return;
    case 3:
      bytes.insert(at, std::string(bytes, at, length));
      return;
    case 4:
      bytes.replace(at, length, kPieces[random.below(std::size(kPieces))]);
      return;
    default:
      if (!other.empty()) bytes.replace(at, length, other, random.below(other.size()), 1 + random.below(64));
  }
}

class Replay : public ::testing::TestWithParam<Target> {};

TEST_P(Replay, CorpusAndItsMutationsAreReadOrRefused) {
  const auto& target = GetParam();
  const auto corpus = corpus_of(target);
  ASSERT_GE(corpus.size(), 3u);
  for (const auto& input : corpus) target.run(input);
  Random random(2026);
  for (size_t i = 0; i < target.mutations; ++i) {
    auto input = corpus[random.below(corpus.size())];
    const auto edits = 1 + random.below(4);
    for (uint64_t k = 0; k < edits; ++k) mutate(input, corpus[random.below(corpus.size())], random);
    target.run(input);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, ::testing::ValuesIn(kTargets),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace thalweg
