// The extension thalweg.group/1.
#include "plugins/validator/clauses.h"
#include "plugins/validator/compare.h"

namespace thalweg::validator {
namespace {

/// An active instance that compares the samples of a group.
struct Comparing {
  explicit Comparing(Subject& s) : subject(s), instance(s) {
    instance.activate();
    if (instance.group() == nullptr) throw Skip("the reward compares no samples");
  }
  uint32_t least() {
    return subject.guarded("least", [&] { return instance.group()->least(&instance.table()); });
  }

  Subject& subject;
  Instance instance;
};

void functions(Subject& s) {
  Comparing c(s);
  require(c.instance.group()->least != nullptr, "its function `least` is NULL");
  require(c.instance.group() == c.instance.group(), "get_extension gave another table the second time");
}

void least(Subject& s) {
  Comparing c(s);
  const auto least = c.least();
  require(least >= 2, "it says that it compares groups of " + std::to_string(least));
  require(least == c.least(), "it gave another number the second time");
}

void others(Subject& s) {
  Comparing c(s);
  const auto batch = s.options.batch, size = batch / 2;
  if (c.least() > size)
    throw Skip("it compares " + std::to_string(c.least()) + " at least: try it with --batch " +
               std::to_string(2 * c.least()));
  const auto together = first_scores(s, c.instance);
  std::vector<float> apart;
  for (int64_t begin = 0; begin < 2 * size; begin += size) {
    std::vector<int64_t> numbers;
    for (int64_t b = begin; b < begin + size; ++b) numbers.push_back(b);
    Samples group(numbers, s.inputs(), s.shape(), s.options);
    const auto scores = c.instance.score(group);
    apart.insert(apart.end(), scores.begin(), scores.end());
  }
  const std::vector<float> whole(together.begin(),
                                 together.begin() + static_cast<std::ptrdiff_t>(apart.size()));
  require_same(s, c.instance, whole, apart, s.options.value_tolerance, "beside another group", "alone");
}

}  // namespace

const std::vector<Clause>& group_clauses() {
  static const std::vector<Clause> all = {
      {"group.functions", "ext/group.h", "has a table that is whole and stays the same", "life.dimensions",
       functions},
      {"group.least", "ext/group.h", "compares groups of two or more", "group.functions", least},
      {"group.others", "ext/group.h", "lets a group's values depend on no other group", "score.determinism",
       others}};
  return all;
}

}  // namespace thalweg::validator
