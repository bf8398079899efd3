// MAH-DPO: pairs by column, blocks of a LoRA that only their own head trains, and what holds for every
// method, on a model of two layers with a LoRA.
#include <gtest/gtest.h>

#include "engine/optim/gradients.h"
#include "pipelines/plan/method_count.h"
#include "pipelines/training/selection.h"
#include "tests/methods/noised.h"
#include "tests/methods/two_layers.h"

namespace thalweg {
namespace {

constexpr double kBeta = 3.0, kNan = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kLayers[] = {"first", "second"};

Json settings(const Json& more = Json::object()) {
  return pair_settings(kBeta, more);
}

const Weights kBoth = {{"a", 1.0}, {"b", 3.0}};

struct AtWork {
  explicit AtWork(const Weights& weights = kBoth, const TrainingOptions& options = with_lora(),
                  const TableReward::Table& table = {}, Json more = Json::object(),
                  const std::string& name = "mah_dpo")
      : small(parts(weights, table), options),
        run(method_named(name, settings(std::move(more)))->start(small.training)) {}
  TensorMap parameters() const { return cloned(small.training.policy.parameters()); }

  SmallTraining small;
  std::unique_ptr<MethodRun> run;
};

void expect_near(const TensorMap& a, const TensorMap& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a)
    EXPECT_LE((tensor - b.at(name)).abs().max().item<double>(), tolerance) << name;
}

TEST(MahDpo, WithOneRewardIsFlowDpo) {
  const Json more = {{"updates", 3}, {"times_per_sample", 2}};
  AtWork heads({{"a", 1.0}}, with_lora(), {}, more), policy({{"a", 1.0}}, with_lora(), {}, more, "flow_dpo");
  for (int64_t i = 0; i < 3; ++i) {
    const auto ours = heads.run->iterate(i), theirs = policy.run->iterate(i);
    for (const auto& [name, value] : theirs) EXPECT_EQ(number(ours, name), value) << name;
    EXPECT_NEAR(number(ours, "implicit_accuracy_table/a"), number(theirs, "implicit_accuracy"), 1e-12);
    EXPECT_EQ(number(ours, "pairs_table/a"), number(theirs, "pairs"));
  }
  expect_near(heads.parameters(), policy.parameters(), 0.0);
}

// Groups of four. a: a plain one, one all alike, one with a single score. b, whose weight is negative: ties
// at both ends, one masked sample, all but one alike.
const TableReward::Table kTable = {{1, 1}, {2, 1}, {3, 2},    {0, 2},    {5, kNan}, {5, 4},
                                   {5, 7}, {5, 1}, {kNan, 0}, {kNan, 0}, {1, 0},    {kNan, 1}};
const std::vector<int64_t> kPairsOfA = {2, 3}, kPairsOfB = {0, 2, 7, 6, 8, 11};

// (beta/4) (e_w - e_l), mean over the pairs: what a head's loss is to first order.
at::Tensor first_order(const at::Tensor& e_B, const std::vector<int64_t>& rows) {
  const auto e = e_B.index_select(0, at::tensor(rows, at::kLong)).view({-1, 2});
  return kBeta / 4.0 * (e.select(1, 0) - e.select(1, 1)).mean();
}

TEST(MahDpo, EachHeadLearnsFromPairsOfItsOwnReward) {
  const Weights weights = {{"a", 1.0}, {"b", -3.0}};
  auto options = with_lora();
  options.sampler.kind = SmallTraining::default_options().sampler.kind;  // as first_rollout() draws
  AtWork work(weights, options, kTable);
  auto& t = work.small.training;
  const auto [batches, scores] = first_rollout(t, {3, 4, 1});
  std::vector<int64_t> groups;
  for (const auto& batch : batches)
    for (const auto& row : batch.rows) groups.push_back(row.group);
  const auto n = noised(t, batches, {.name = "logit_normal"}, groups);
  const auto loss_of = [&](int64_t k, double weight, const std::vector<int64_t>& rows) {
    const auto v = t.space.bind(t.policy.parameters(), {"", k, 2, weight})(n.x_t, {}, {});
    return weight * first_order((v - n.target).square().flatten(1).mean(1), rows);
  };
  auto expected =
      gradients_of(loss_of(0, 0.25, kPairsOfA) + loss_of(1, 0.75, kPairsOfB), t.policy.parameters());
  const double norm = clip_gradients(expected, 1e9);
  const auto metrics = work.run->iterate(0);
  EXPECT_GT(norm, 1e-3);
  EXPECT_NEAR(number(metrics, "grad_norm"), norm, 1e-7 * norm);
  EXPECT_NEAR(number(metrics, "policy_loss"), std::log(2.0), 1e-12);
  EXPECT_EQ(number(metrics, "pairs_table/a"), 1.0);
  EXPECT_EQ(number(metrics, "pairs_table/b"), 3.0);
  EXPECT_EQ(number(metrics, "pairs"), 4.0);
  EXPECT_EQ(number(metrics, "masked_samples"), 4.0);
}

TEST(MahDpo, TiesArePairsWhereTheyAreKnown) {
  AtWork work(kBoth, with_lora(), kTable, {{"tie_theta", 3.0}});
  const auto metrics = work.run->iterate(0);
  EXPECT_EQ(number(metrics, "pairs_table/a"), 2.0);
  const double clear = std::log(4.0), tie = -std::log(8.0 / 16.0);  // sigmoid(-log 3) = 1/4
  EXPECT_NEAR(number(metrics, "policy_loss"), 0.25 * (clear + tie) / 2.0 + 0.75 * clear, 1e-12);
}

at::Tensor block(const TensorMap& parameters, const std::string& layer, const char* half, int64_t k) {
  return block_of({{layer + half, parameters.at(layer + half)}}, {"", k, 2, 1.0}).begin()->second;
}

// b scores nothing: what of the policy changes is the block of a.
TEST(MahDpo, AHeadReachesItsOwnBlockAlone) {
  auto table = kTable;
  for (auto& [a, b] : table) b = kNan;
  AtWork work(kBoth, with_lora(), table);
  const auto before = work.parameters();
  for (int64_t i = 0; i < 2; ++i) {
    const auto metrics = work.run->iterate(i);
    EXPECT_EQ(number(metrics, "pairs_table/b"), 0.0);
    EXPECT_TRUE(std::isnan(number(metrics, "implicit_accuracy_table/b")));
  }
  const auto after = work.parameters();
  for (const std::string layer : kLayers)
    for (const char* half : {".lora_A.weight", ".lora_B.weight"}) {
      EXPECT_FALSE(at::equal(block(before, layer, half, 0), block(after, layer, half, 0))) << layer << half;
      EXPECT_TRUE(at::equal(block(before, layer, half, 1), block(after, layer, half, 1))) << layer << half;
    }
}

TEST(MahDpo, TheHeadsLearnWhatTheyAreFor) {
  auto options = with_lora();
  options.optimizer.learning_rate = 0.02;
  AtWork work(kBoth, options, {}, {{"times_per_sample", 4}});
  Metrics last;
  for (int64_t i = 0; i < 40; ++i) last = work.run->iterate(i);
  for (const char* name : {"implicit_accuracy_table/a", "implicit_accuracy_table/b"})
    EXPECT_GT(number(last, name), 0.6) << name;
  EXPECT_LT(number(last, "policy_loss"), std::log(2.0));
}

const Json kTwoUpdates = {{"updates", 2}, {"times_per_sample", 2}};

TEST(MahDpo, SameNumbersForAnyMicroBatch) {
  AtWork whole(kBoth, with_lora(12), {}, kTwoUpdates);
  for (int64_t i = 0; i < 2; ++i) whole.run->iterate(i);
  for (const int64_t micro_batch : {1, 3, 5}) {
    AtWork run(kBoth, with_lora(micro_batch), {}, kTwoUpdates);
    for (int64_t i = 0; i < 2; ++i) run.run->iterate(i);
    expect_near(run.parameters(), whole.parameters(), 1e-6);  // parameters are float32
  }
}

TEST(MahDpo, SameBitsForAnyNumberOfWorkers) {
  auto options = with_lora(2);
  options.parallel.lanes = 3;
  AtWork one(kBoth, options, {}, kTwoUpdates);
  for (int64_t i = 0; i < 2; ++i) one.run->iterate(i);
  for (const int64_t workers : {2, 3}) {
    options.parallel.workers = workers;
    AtWork run(kBoth, options, {}, kTwoUpdates);
    for (int64_t i = 0; i < 2; ++i) run.run->iterate(i);
    expect_near(run.parameters(), one.parameters(), 0.0);
  }
}

TEST(MahDpo, GoesOnFromACheckpointBitForBit) {
  AtWork whole(kBoth, with_lora(), {}, kTwoUpdates), resumed(kBoth, with_lora(), {}, kTwoUpdates);
  whole.run->iterate(0);
  carry_over(1, whole.small.training, *whole.run, resumed.small.training, *resumed.run);
  const auto a = whole.run->iterate(1), b = resumed.run->iterate(1);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_EQ(value, number(b, name)) << name;
  expect_near(whole.parameters(), resumed.parameters(), 0.0);
}

TEST(MahDpo, TheWholeIsTheMixtureOfItsHeads) {
  AtWork work;
  for (int64_t i = 0; i < 3; ++i) work.run->iterate(i);
  const auto& space = work.small.training.space;
  const auto x = normal_noise(3, Purpose::data, {0, 1}, 0, {1, 1, 2, 2}, at::kDouble);
  const auto before = space.bind(work.parameters())(x, {}, {});
  double reached = 0.0;
  // W1 and W2 are summed, not velocities: the law is that of updates.
  const auto blocks = method_named("mah_dpo")->blocks(kBoth);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0].weight, 0.25);
  EXPECT_EQ(blocks[1].weight, 0.75);
  for (const std::string layer : kLayers) {
    const auto update = [&](const TensorMap& p, double scale) {
      return at::mm(p.at(layer + ".lora_B.weight"), p.at(layer + ".lora_A.weight")) * scale;
    };
    auto mixture = at::zeros({4, 4});
    for (const auto& block : blocks)
      mixture += block.weight * update(block_of(work.parameters(), block),
                                       strength_of(space.strength(), block).scale_of(layer));
    const auto whole = update(work.parameters(), space.strength().scale_of(layer));
    reached = std::max(reached, whole.abs().max().item<double>());
    EXPECT_LT((mixture - whole).abs().max().item<double>(), 1e-6);
  }
  EXPECT_GT(reached, 1e-3);
  EXPECT_FALSE(at::equal(before, space.reference()(x, {}, {})));
}

TEST(MahDpo, RefusesWhatCannotBeCut) {
  const auto method = method_named("mah_dpo", settings());
  auto options = with_lora();
  EXPECT_NO_THROW(method->check(options));
  options.model.has_lora = false;
  EXPECT_ERROR(method->check(options), "/model/lora: is missing");
  options.model.has_lora = true;
  options.model.lora.rank = 3;
  EXPECT_ERROR(AtWork(kBoth, options), "/model/lora/rank: ");
  EXPECT_NO_THROW(AtWork({{"a", 1.0}}, options));
  options.model.lora.rank = 4;
  options.model.lora.rank_pattern = {{"second", 5.0}};
  EXPECT_ERROR(AtWork(kBoth, options), "/model/lora/rank_pattern: ");
}

// Two samples of four a reward.
TEST(MahDpo, IsCountedByReward) {
  const auto count = [](int64_t rewards) {
    return count_method(
               *method_named("mah_dpo", settings({{"times_per_sample", 3}})), with_lora(), 0,
               [](int64_t steps) { return linear_schedule(steps); }, rewards)
        .forwards_with_gradient;
  };
  EXPECT_EQ(count(1), 1.5);
  EXPECT_EQ(count(2), 3.0);
}

}  // namespace
}  // namespace thalweg
