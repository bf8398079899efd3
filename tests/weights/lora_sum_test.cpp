// Several LoRAs as one: the update of each layer is the sum of theirs.
#include "engine/weights/lora_sum.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/weights/lora_model.h"

namespace thalweg {
namespace {

using testing::effect;
using testing::numbers;

constexpr const char *kQ = "blocks.0.attn.to_q", *kOut = "norm_out.linear", *kPatch = "patch.proj";

void add(LoraFile& lora, const std::string& layer, at::Tensor down, at::Tensor up, double scale) {
  lora.tensors[layer + ".lora_A.weight"] = std::move(down);
  lora.tensors[layer + ".lora_B.weight"] = std::move(up);
  lora.scales[layer] = scale;
}

LoraFile one() {
  LoraFile lora;
  add(lora, kQ, numbers({2, 6}, 0.1), numbers({5, 2}, 0.2), 1.5);
  add(lora, kPatch, numbers({1, 3, 2, 2}, 0.3), numbers({7, 1, 1, 1}, 0.4), 0.5);
  return lora;
}

LoraFile other() {
  LoraFile lora;
  add(lora, kQ, numbers({3, 6}, 0.5), numbers({5, 3}, 0.6), 4.0);
  add(lora, kOut, numbers({2, 6}, 0.7), numbers({4, 2}, 0.8), 2.0);
  return lora;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(SumOfLoras, AddsTheUpdatesByWeight) {
  const auto sum = sum_of({{one(), 0.7}, {other(), -1.3}});
  EXPECT_EQ(sum.tensors.size(), 6u);
  EXPECT_EQ(sum.tensors.at(std::string(kQ) + ".lora_A.weight").sizes(), at::IntArrayRef({5, 6}));
  EXPECT_LT(difference(effect(sum, kQ), 0.7 * effect(one(), kQ) - 1.3 * effect(other(), kQ)), 1e-6);
  EXPECT_LT(difference(effect(sum, kPatch), 0.7 * effect(one(), kPatch)), 1e-12);
  EXPECT_LT(difference(effect(sum, kOut), -1.3 * effect(other(), kOut)), 1e-12);
}

TEST(SumOfLoras, OfOneIsItself) {
  const auto sum = sum_of({{one(), 1.0}, {other(), 0.0}});
  EXPECT_EQ(sum.tensors.size(), one().tensors.size());
  for (const auto& [name, tensor] : one().tensors)
    EXPECT_TRUE(at::equal(sum.tensors.at(name), tensor)) << name;
  for (const char* layer : {kQ, kPatch}) EXPECT_EQ(sum.scale_of(layer), one().scale_of(layer));
}

TEST(SumOfLoras, HalfAndHalfOfOneIsThatOne) {
  const auto sum = sum_of({{one(), 0.5}, {one(), 0.5}});
  for (const char* layer : {kQ, kPatch})
    EXPECT_LT(difference(effect(sum, layer), effect(one(), layer)), 1e-12);
}

TEST(SumOfLoras, OfNothingIsNothing) {
  EXPECT_TRUE(sum_of({{one(), 0.0}, {other(), 0.0}}).tensors.empty());
}

// Two strengths of 16 bits: a product is not rounded to them, and each file's own numbers stay.
TEST(SumOfLoras, NarrowTensorsLoseNothing) {
  auto narrow = other();
  for (auto& [name, tensor] : narrow.tensors) tensor = tensor.to(at::kBFloat16);
  const auto sum = sum_of({{one(), 1.0}, {narrow, 0.3}});
  EXPECT_LT(difference(effect(sum, kQ), effect(one(), kQ) + 0.3 * effect(narrow, kQ)), 1e-6);
}

}  // namespace
}  // namespace thalweg
