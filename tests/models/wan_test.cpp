// Wan's transformer and the scheduler of its folders, without Python.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/flow_model.h"
#include "engine/models/schedulers/unipc.h"
#include "engine/models/wan/transformer.h"

namespace thalweg {
namespace {

// Counted once with diffusers 0.42.1: WanTransformer3DModel of Wan 2.1 T2V 1.3B's config.
TEST(WanTransformer, DeclaresTheParametersOfTheSmallOne) {
  const auto config = WanTransformer::parse(
      parse_json(R"({"num_attention_heads":12,"attention_head_dim":128,"num_layers":30,"ffn_dim":8960,
        "in_channels":16,"out_channels":16,"text_dim":4096,"freq_dim":256,"patch_size":[1,2,2],"eps":1e-06,
        "image_dim":null,"added_kv_proj_dim":null,"cross_attn_norm":true,"qk_norm":"rms_norm_across_heads",
        "rope_max_seq_len":1024})",
                 "wan"),
      "wan");
  Binder declare;
  WanTransformer::bind(config, declare);
  int64_t parameters = 0;
  for (const auto& spec : declare.specs()) parameters += c10::multiply_integers(spec.shape);
  EXPECT_EQ(declare.specs().size(), 825u);
  EXPECT_EQ(parameters, 1418996800);
  EXPECT_EQ(wan_architecture(config), "wan-2.1-t2v-1.3b");
  EXPECT_EQ(linear_modules(declare.specs(), wan_default_lora_targets(), "targets").size(), 30u * 8u);
}

// Each layer that a LoRA may adapt has a name in the original code, and no two share one.
TEST(WanTransformer, EveryLayerHasItsOriginalName) {
  WanTransformerConfig config;
  config.num_layers = 2;
  const auto names = wan_lora_names(config);
  EXPECT_EQ(names.originals.size(), names.layers.size());
  EXPECT_NO_THROW(LoraResolver{names});
}

UniPc unipc(const std::string& change) {
  auto config = parse_json(R"({"use_flow_sigmas":true,"prediction_type":"flow_prediction","flow_shift":3.0,
    "final_sigmas_type":"zero","solver_order":2,"solver_type":"bh2"})",
                           "scheduler");
  config.update(parse_json(change, "change"));
  return parse_unipc(config, "scheduler_config.json");
}

TEST(UniPc, LevelsFallFromOneToZero) {
  for (const int64_t steps : {1, 2, 30}) {
    const auto levels = unipc_schedule(unipc("{}"), steps).sigmas;
    ASSERT_EQ(levels.size(), static_cast<size_t>(steps) + 1);
    EXPECT_EQ(levels.front(), 1.0);
    EXPECT_EQ(levels.back(), 0.0);
    EXPECT_TRUE(std::is_sorted(levels.rbegin(), levels.rend()));
  }
}

TEST(UniPc, WhatIsNotSupportedIsRefusedByName) {
  for (const auto& [change, key] : std::vector<std::pair<const char*, const char*>>{
           {R"({"use_flow_sigmas":false})", "use_flow_sigmas"},
           {R"({"prediction_type":"epsilon"})", "prediction_type"},
           {R"({"use_karras_sigmas":true})", "use_karras_sigmas"},
           {R"({"use_dynamic_shifting":true})", "use_dynamic_shifting"},
           {R"({"final_sigmas_type":"sigma_min"})", "final_sigmas_type"},
           {R"({"flow_shift":0})", "flow_shift"},
           {R"({"shift_terminal":1})", "shift_terminal"},
           {R"({"num_train_timesteps":0})", "num_train_timesteps"}}) {
    try {
      unipc(change);
      ADD_FAILURE() << change;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(key), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace thalweg
