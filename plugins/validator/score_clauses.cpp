// What a reward writes, and on what it may depend.
#include <algorithm>
#include <cmath>
#include <limits>

#include "plugins/validator/clauses.h"
#include "plugins/validator/compare.h"

namespace thalweg::validator {
namespace {

std::vector<float> row(const std::vector<float>& values, size_t index, size_t width) {
  const auto begin = values.begin() + static_cast<int64_t>(index * width);
  return {begin, begin + static_cast<int64_t>(width)};
}

void runs(Subject& s) {
  Instance instance(s);
  instance.activate();
  first_scores(s, instance);
}

void values(Subject& s) {
  Instance instance(s);
  const auto scores = first_scores(s, instance.activate());
  const auto& names = instance.dimensions();
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i])) continue;
    const char* wrote = is_unwritten(scores[i]) ? "left unwritten"
                        : std::isnan(scores[i]) ? "NaN"
                                                : "infinite";
    throw Breach("sample " + std::to_string(i / names.size()) + ", dimension \"" + names[i % names.size()] +
                 "\" is " + wrote + ", so it would be masked; if the prompts are to blame, give others");
  }
}

void within_bounds(Subject& s) {
  Instance instance(s);
  instance.activate();
  Samples samples(first_numbers(s.options.batch), s.inputs(), s.shape(), s.options);
  const Guarded out({samples.batch(), static_cast<int64_t>(instance.dimensions().size())});
  const auto wrong = instance.try_score(samples.request(), out);
  require(wrong.empty(), wrong);
  require(out.intact(), "something was written before or after the values");
}

void inputs_unchanged(Subject& s) {
  Instance instance(s);
  instance.activate();
  const auto numbers = first_numbers(s.options.batch);
  Samples samples(numbers, s.inputs(), s.shape(), s.options),
      before(numbers, s.inputs(), s.shape(), s.options);
  instance.score(samples);
  const auto what = samples.changed(before);
  require(what.empty(), "score changed " + what);
}

void determinism(Subject& s) {
  Instance instance(s);
  const auto first = first_scores(s, instance.activate());
  auto numbers = first_numbers(s.options.batch);
  for (auto& number : numbers) number += s.options.batch;
  Samples others(numbers, s.inputs(), s.shape(), s.options);
  instance.score(others);
  require_same(s, instance, first, first_scores(s, instance), 0.0, "the first time",
               "the second time, after other samples");
}

/// Of clauses that hold of a value that depends on its own sample alone.
void skip_comparing(Instance& instance) {
  if (instance.group() != nullptr) throw Skip("it compares the samples of a group: see group.others");
}

void batch_size(Subject& s) {
  Instance instance(s);
  skip_comparing(instance);
  const auto together = first_scores(s, instance.activate());
  std::vector<float> alone;
  for (int64_t b = 0; b < s.options.batch; ++b) {
    Samples one({b}, s.inputs(), s.shape(), s.options);
    const auto score = instance.score(one);
    alone.insert(alone.end(), score.begin(), score.end());
  }
  require_same(s, instance, together, alone, s.options.value_tolerance, "in a batch", "alone");
}

void batch_order(Subject& s) {
  Instance instance(s);
  const auto forward = first_scores(s, instance.activate());
  auto numbers = first_numbers(s.options.batch);
  std::reverse(numbers.begin(), numbers.end());
  Samples reversed(numbers, s.inputs(), s.shape(), s.options);
  const auto backward = instance.score(reversed);
  const size_t width = instance.dimensions().size();
  std::vector<float> put_back;
  for (size_t b = numbers.size(); b-- > 0;) {
    const auto one = row(backward, b, width);
    put_back.insert(put_back.end(), one.begin(), one.end());
  }
  require_same(s, instance, forward, put_back, s.options.value_tolerance, "in one order",
               "in the reverse order");
}

void twins(Subject& s) {
  Instance instance(s);
  skip_comparing(instance);
  instance.activate();
  Samples samples({5, 5, 6, 5}, s.inputs(), s.shape(), s.options);
  const auto scores = instance.score(samples);
  const size_t width = instance.dimensions().size();
  for (const size_t twin : {size_t{1}, size_t{3}})
    require_same(s, instance, row(scores, 0, width), row(scores, twin, width), s.options.value_tolerance,
                 "for a sample", "for another with the same inputs, id and seed");
}

/// Throws nothing: a size that cannot be scored may be refused, with a text; that is watched.
void sizes(Subject& s) {
  Instance instance(s);
  const auto before = first_scores(s, instance.activate());
  const auto width = static_cast<int64_t>(instance.dimensions().size());
  auto shape = s.shape();
  shape.height = std::max<int64_t>(1, shape.height / 2);
  shape.width = std::max<int64_t>(1, shape.width / 2 + 3);
  shape.width = std::min(shape.width, s.options.width);
  for (const auto& size : {shape, Shape{1, 1, 1, 4, 1, 1}}) {
    Samples samples({0, 1}, s.inputs(), size, s.options);
    const Guarded out({2, width});
    instance.try_score(samples.request(), out);
    require(out.intact(), "a smaller picture made it write before or after the values");
  }
  require_same(s, instance, before, first_scores(s, instance), 0.0, "before",
               "after pictures of other sizes");
}

void not_a_number(Subject& s) {
  Instance instance(s);
  skip_comparing(instance);
  const auto clean = first_scores(s, instance.activate());
  const size_t width = instance.dimensions().size();
  for (const float poison :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e30F}) {
    Samples samples(first_numbers(s.options.batch), s.inputs(), s.shape(), s.options);
    for (const uint64_t bit : {THALWEG_INPUT_FRAMES, THALWEG_INPUT_LATENTS}) {
      auto& tensor = samples.input(bit);
      std::fill_n(tensor.data.begin(), tensor.row(), poison);
    }
    const Guarded out({samples.batch(), static_cast<int64_t>(width)});
    const auto wrong = instance.try_score(samples.request(), out);
    require(wrong.empty(), "one sample that holds no numbers voids the whole call: " + wrong);
    require(out.intact(), "it made score write before or after the values");
    auto scores = out.values();
    std::copy_n(clean.begin(), width, scores.begin());
    require_same(s, instance, clean, scores, s.options.value_tolerance, "alone",
                 "beside a sample that holds no numbers");
  }
}

void larger_request(Subject& s) {
  Instance instance(s);
  const auto expected = first_scores(s, instance.activate());
  Samples samples(first_numbers(s.options.batch), s.inputs(), s.shape(), s.options);
  struct Later {
    thalweg_score_request request;
    uint64_t fields[8];
  } later{*samples.request(), {~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL}};
  later.request.size = sizeof(later);
  const Guarded out({samples.batch(), static_cast<int64_t>(instance.dimensions().size())});
  const auto wrong = instance.try_score(&later.request, out);
  require(wrong.empty(), "a later host's request is refused: " + wrong);
  require_same(s, instance, expected, out.values(), 0.0, "with this host's request", "with a later host's");
}

/// As hosts send it that know no later field. May be refused, with a text; must not be read beyond its size.
void smaller_request(Subject& s) {
  constexpr std::pair<const char*, size_t> kLater[] = {
      {"iteration", offsetof(thalweg_score_request, iteration)},
      {"phase", offsetof(thalweg_score_request, phase)}};
  static_assert(kLater[1].second == THALWEG_SCORE_REQUEST_SIZE_0_1);
  Instance instance(s);
  instance.activate();
  Samples samples(first_numbers(s.options.batch), s.inputs(), s.shape(), s.options);
  auto request = *samples.request();
  for (const auto& [field, size] : kLater) {
    s.trying("given a request whose size ends before `" + std::string(field) + "`");
    request.size = static_cast<uint32_t>(size);
    const AtPageEnd cut(&request, size);
    const Guarded out({samples.batch(), static_cast<int64_t>(instance.dimensions().size())});
    instance.try_score(static_cast<const thalweg_score_request*>(cut.data()), out);
  }
}

}  // namespace

const std::vector<Clause>& score_clauses() {
  static const std::vector<Clause> all = {
      {"score.runs", "reward.h", "scores a batch of ordinary pictures", "life.dimensions", runs},
      {"score.values", "reward.h", "gives each of them a finite number", "score.runs", values},
      {"score.within-bounds", "reward.h", "writes [B,K] values and nothing else", "score.runs",
       within_bounds},
      {"score.inputs-unchanged", "request.h", "changes nothing that it was lent", "score.runs",
       inputs_unchanged},
      {"score.determinism", "reward.h", "gives the same request the same values", "score.runs", determinism},
      {"score.batch-size", "reward.h", "gives a sample the same values alone and in a batch",
       "score.determinism", batch_size},
      {"score.batch-order", "reward.h", "gives a sample the same values in any order", "score.determinism",
       batch_order},
      {"score.seeds", "request.h", "draws on nothing random but the sample's own seed", "score.determinism",
       twins},
      {"score.sizes", "request.h", "scores or refuses pictures of other sizes", "score.determinism", sizes},
      {"score.nan-input", "reward.h", "lets a sample that holds no numbers spoil no other",
       "score.determinism", not_a_number},
      {"request.larger", "request.h", "takes the larger request of a later host", "score.determinism",
       larger_request},
      {"request.size", "request.h", "reads no field of a request beyond its size", "score.runs",
       smaller_request}};
  return all;
}

}  // namespace thalweg::validator
