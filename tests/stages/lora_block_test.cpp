// A LoRA cut into blocks of its ranks: their updates by weight are the whole's.
#include "pipelines/stages/lora_block.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/weights/lora_sum.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

const LoraStrength kWhole{4, 8.0, {{"b", 2}}, {{"b", 3.0}}};

TensorMap whole() {
  const auto numbers = [](std::vector<int64_t> shape, double shift) {
    return at::sin(at::arange(shape[0] * shape[1], at::kDouble) + shift).view(shape);
  };
  return {{"a.lora_A.weight", numbers({4, 6}, 0.1)},
          {"a.lora_B.weight", numbers({5, 4}, 0.2)},
          {"b.lora_A.weight", numbers({2, 3}, 0.3)},
          {"b.lora_B.weight", numbers({3, 2}, 0.4)}};
}

LoraFile file_of(const TensorMap& tensors, const LoraStrength& strength) {
  LoraFile file;
  file.tensors = tensors;
  for (const char* layer : {"a", "b"}) file.scales[layer] = strength.scale_of(layer);
  return file;
}

TEST(LoraBlocks, AreTheWholeByTheirWeights) {
  std::vector<WeightedLora> parts;
  for (const auto& [index, weight] : {std::pair<int64_t, double>{0, 0.7}, {1, 0.3}}) {
    const LoraBlock block{"", index, 2, weight};
    const auto strength = strength_of(kWhole, block);
    EXPECT_EQ(strength.rank_of("a"), 2);
    EXPECT_EQ(strength.rank_of("b"), 1);
    EXPECT_NEAR(strength.scale_of("a"), 2.0 / weight, 1e-12);
    EXPECT_NEAR(strength.scale_of("b"), 1.5 / weight, 1e-12);
    parts.push_back({file_of(block_of(whole(), block), strength), weight});
  }
  const auto sum = sum_of(parts);
  for (const char* layer : {"a", "b"}) {
    const std::string name = layer;
    const auto update = [&](const TensorMap& t) {
      return at::mm(t.at(name + ".lora_B.weight"), t.at(name + ".lora_A.weight"));
    };
    const auto expected = update(whole()) * kWhole.scale_of(layer);
    EXPECT_LT((update(sum.tensors) * sum.scale_of(layer) - expected).abs().max().item<double>(), 1e-12);
  }
}

TEST(LoraBlocks, NeedRanksThatTheyDivide) {
  EXPECT_NO_THROW(require_blocks(kWhole, {"a", "b"}, 2));
  EXPECT_NO_THROW(require_blocks(kWhole, {"a"}, 4));
  EXPECT_ERROR(require_blocks(kWhole, {"a", "b"}, 3), "/model/lora/rank: gives a rank 4");
  EXPECT_ERROR(require_blocks(kWhole, {"a", "b"}, 4), "/model/lora/rank_pattern: gives b rank 2");
}

}  // namespace
}  // namespace thalweg
