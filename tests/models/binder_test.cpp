#include "engine/models/binder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/models/flow_model.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

struct Net {
  Linear up, down;
  Norm norm;
  Conv2d conv;
};

Net bind_net(Binder b) {
  Net net;
  net.up = b.sub("mlp.").linear("up", 3, 5);
  net.down = b.sub("mlp.").linear("down", 5, 3, false, Init::zeros);
  net.norm = b.layer_norm("norm", 3, 1e-6);
  net.conv = b.conv2d("conv", 2, 4, 3, 2, 1);
  return net;
}

std::vector<ParameterSpec> specs() {
  Binder declare;
  bind_net(declare);
  return declare.specs();
}

TensorMap weights() {
  return initial_parameters(specs(), 1);
}

void bind_and_finish(const TensorMap& tensors, const Adapter* adapter = nullptr) {
  Binder binder(tensors, "some/folder", adapter);
  bind_net(binder);
  binder.finish();
}

TEST(Binder, DeclaresNamesAndShapes) {
  const auto found = specs();
  ASSERT_EQ(found.size(), 7u);
  EXPECT_EQ(found[0].name, "mlp.up.weight");
  EXPECT_EQ(found[0].shape, (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(found[0].fan_in, 3);
  EXPECT_EQ(found[1].name, "mlp.up.bias");
  EXPECT_EQ(found[2].name, "mlp.down.weight");
  EXPECT_EQ(found[3].name, "norm.weight");
  EXPECT_EQ(found[3].init, Init::ones);
  EXPECT_EQ(found[5].shape, (std::vector<int64_t>{4, 2, 3, 3}));
  EXPECT_EQ(found[5].fan_in, 18);
  Binder declare;
  EXPECT_FALSE(bind_net(declare).up.weight.defined());
  EXPECT_NO_THROW(declare.finish());
}

TEST(Binder, HandsOutTheTensorsThemselves) {
  const auto tensors = weights();
  Binder binder(tensors, "some/folder");
  const auto net = bind_net(binder);
  binder.finish();
  EXPECT_TRUE(net.up.weight.is_same(tensors.at("mlp.up.weight")));
  EXPECT_TRUE(net.conv.bias.is_same(tensors.at("conv.bias")));
  EXPECT_FALSE(net.down.bias.defined());
  EXPECT_FALSE(net.up.lora_a.defined());
  EXPECT_EQ(net.norm.eps, 1e-6);
  EXPECT_EQ(net.norm.width, 3);
  EXPECT_EQ(net.conv.stride, 2);
  EXPECT_EQ(net.conv.padding, 1);
}

TEST(Binder, ListsEveryProblemAtOnce) {
  auto tensors = weights();
  tensors.erase("mlp.up.bias");
  tensors.erase("norm.weight");
  tensors["mlp.down.weight"] = at::zeros({3, 4});
  tensors["mlp.gate.weight"] = at::zeros({1});
  try {
    bind_and_finish(tensors);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.place(), "some/folder");
    EXPECT_EQ(e.message(),
              "2 tensors are missing: mlp.up.bias, norm.weight; "
              "1 tensors have another shape than the config says: mlp.down.weight is [3, 4], not [3, 5]; "
              "1 tensors are not of this model: mlp.gate.weight");
  }
}

TEST(Binder, ShortensLongLists) {
  auto tensors = weights();
  for (int i = 0; i < 12; ++i) tensors["extra." + std::to_string(i)] = at::zeros({1});
  EXPECT_ERROR(bind_and_finish(tensors), "12 tensors are not of this model: extra.0, extra.1, extra.10");
  EXPECT_ERROR(bind_and_finish(tensors), "and 4 more");
}

class BinderAdapter : public ::testing::Test {
 protected:
  static Adapter pair(at::IntArrayRef a, at::IntArrayRef b, const std::string& module = "mlp.up") {
    return {{{module + ".lora_A.weight", at::ones(a)}, {module + ".lora_B.weight", at::ones(b)}}, 2.0};
  }
  const TensorMap tensors_ = weights();
};

TEST_F(BinderAdapter, GivesALinearItsPair) {
  const auto adapter = pair({4, 3}, {5, 4});
  Binder binder(tensors_, "some/folder", &adapter);
  const auto net = bind_net(binder);
  binder.finish();
  EXPECT_TRUE(net.up.lora_a.is_same(adapter.tensors.at("mlp.up.lora_A.weight")));
  EXPECT_TRUE(net.up.lora_b.is_same(adapter.tensors.at("mlp.up.lora_B.weight")));
  EXPECT_EQ(net.up.lora_scale, 2.0);
  EXPECT_FALSE(net.down.lora_a.defined());
}

TEST_F(BinderAdapter, GivesAConvolutionItsPair) {
  const auto adapter = pair({5, 2, 3, 3}, {4, 5, 1, 1}, "conv");
  Binder binder(tensors_, "some/folder", &adapter);
  const auto net = bind_net(binder);
  binder.finish();
  EXPECT_TRUE(net.conv.lora_a.is_same(adapter.tensors.at("conv.lora_A.weight")));
  EXPECT_EQ(net.conv.lora_scale, 2.0);
  for (const auto& other : {pair({5, 2, 3, 3}, {4, 5}, "conv"), pair({5, 2, 1, 1}, {4, 5, 1, 1}, "conv"),
                            pair({5, 18}, {4, 5}, "conv"), pair({5, 2, 3, 3}, {4, 4, 1, 1}, "conv")})
    EXPECT_ERROR(bind_and_finish(tensors_, &other), "conv's LoRA pair");
}

TEST_F(BinderAdapter, RefusesPairsThatDoNotFit) {
  for (const auto& adapter :
       {pair({4, 4}, {5, 4}), pair({4, 3}, {6, 4}), pair({4, 3}, {5, 3}), pair({3}, {5})})
    EXPECT_ERROR(bind_and_finish(tensors_, &adapter), "mlp.up's LoRA pair");
}

TEST_F(BinderAdapter, RefusesModulesThatNothingUses) {
  const auto elsewhere = pair({4, 3}, {5, 4}, "mlp.gate");
  EXPECT_ERROR(bind_and_finish(tensors_, &elsewhere),
               "2 adapter tensors match no linear layer: mlp.gate.lora_A.weight");
  auto half = pair({4, 3}, {5, 4});
  half.tensors.erase("mlp.up.lora_B.weight");
  EXPECT_ERROR(bind_and_finish(tensors_, &half),
               "1 adapter tensors match no linear layer: mlp.up.lora_A.weight");
}

TEST(InitialParameters, AreAPureFunctionOfSeedAndName) {
  const auto all = weights();
  const auto one = initial_parameters({specs()[0]}, 1);
  EXPECT_TRUE(at::equal(all.at("mlp.up.weight"), one.at("mlp.up.weight")));
  EXPECT_FALSE(at::equal(initial_parameters(specs(), 2).at("mlp.up.weight"), all.at("mlp.up.weight")));
}

TEST(InitialParameters, HaveTheirDistributions) {
  const auto value = [](Init init, std::vector<int64_t> shape, int64_t fan_in) {
    return initial_parameters({{"w", std::move(shape), init, fan_in}}, 1).at("w");
  };
  EXPECT_TRUE(at::equal(value(Init::zeros, {3}, 0), at::zeros({3})));
  EXPECT_TRUE(at::equal(value(Init::ones, {3}, 0), at::ones({3})));
  EXPECT_NEAR(value(Init::normal_002, {100, 200}, 0).std().item<double>(), 0.02, 0.001);
  const auto expect_uniform = [](const at::Tensor& w, double bound) {
    EXPECT_LE(w.abs().max().item<double>(), bound);
    EXPECT_GT(w.abs().max().item<double>(), 0.99 * bound);
    EXPECT_NEAR(w.std().item<double>(), bound / std::sqrt(3.0), 0.02 * bound);
    EXPECT_NEAR(w.mean().item<double>(), 0.0, 0.02 * bound);
  };
  expect_uniform(value(Init::xavier_uniform, {100, 200}, 200), std::sqrt(6.0 / 300.0));
  expect_uniform(value(Init::kaiming_uniform, {100, 200}, 200), 1.0 / std::sqrt(200.0));
  expect_uniform(value(Init::bias_of_fan_in, {20000}, 16), 0.25);
  EXPECT_TRUE(initial_parameters({{"table", {4}, Init::fixed, 0}}, 1).empty());
}

TEST(LinearModules, MatchWholeNamesAtTheEnd) {
  const std::vector<ParameterSpec> declared = {{"blocks.0.attn.to_q.weight", {4, 4}},
                                               {"blocks.1.attn.to_q.weight", {4, 4}},
                                               {"blocks.0.attn.add_to_q.weight", {4, 4}},
                                               {"blocks.0.attn.to_q.bias", {4}},
                                               {"conv.weight", {4, 4, 1, 1}},
                                               {"to_q.weight", {2, 2}}};
  EXPECT_EQ(linear_modules(declared, {"attn.to_q"}, "p"),
            (std::vector<std::string>{"blocks.0.attn.to_q", "blocks.1.attn.to_q"}));
  EXPECT_EQ(linear_modules(declared, {"to_q"}, "p").size(), 3u);
  EXPECT_ERROR(linear_modules(declared, {"to_q", "to_v"}, "/model/lora/targets"),
               "/model/lora/targets: no linear layer is named \"to_v\"");
  EXPECT_ERROR(linear_modules(declared, {"conv"}, "p"), "no linear layer is named \"conv\"");
}

TEST(MakeAdapter, StartsAsTheBaseModel) {
  const auto adapter = make_adapter(specs(), {"mlp.up", "mlp.down"}, {2, 8.0}, 5);
  EXPECT_EQ(adapter.scale, 4.0);
  ASSERT_EQ(adapter.tensors.size(), 4u);
  EXPECT_EQ(adapter.tensors.at("mlp.up.lora_A.weight").sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(adapter.tensors.at("mlp.up.lora_B.weight").sizes(), at::IntArrayRef({5, 2}));
  EXPECT_EQ(adapter.tensors.at("mlp.down.lora_B.weight").abs().max().item<double>(), 0.0);
  EXPECT_GT(adapter.tensors.at("mlp.down.lora_A.weight").abs().min().item<double>(), 0.0);
  EXPECT_NO_THROW(bind_and_finish(weights(), &adapter));
}

TEST(MakeAdapter, RankAndScaleMayDifferByLayer) {
  const auto adapter =
      make_adapter(specs(), {"mlp.up", "mlp.down"}, {2, 8.0, {{"mlp.down", 4}}, {{"mlp.down", 1.0}}}, 5);
  EXPECT_EQ(adapter.tensors.at("mlp.up.lora_A.weight").size(0), 2);
  EXPECT_EQ(adapter.tensors.at("mlp.down.lora_A.weight").size(0), 4);
  EXPECT_EQ(adapter.tensors.at("mlp.down.lora_B.weight").size(1), 4);
  const auto tensors = weights();
  Binder binder(tensors, "net", &adapter);
  const auto net = bind_net(binder);
  binder.finish();
  EXPECT_EQ(net.up.lora_scale, 4.0);
  EXPECT_EQ(net.down.lora_scale, 0.25);
}

}  // namespace
}  // namespace thalweg
