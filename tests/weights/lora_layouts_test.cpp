// One adapter in every layout that is read: the same product for every layer.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/weights/lora_keys.h"
#include "tests/weights/lora_model.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::effect;
using testing::Folder;
using testing::lora_model;
using testing::numbers;

const std::string kQ = "blocks.0.attn.to_q", kOut = "blocks.0.attn.to_out.0";

struct Layout {
  const char* prefix;
  bool flattened;
  const char* down;
  const char* up;
  const char* shown;
};

const std::vector<Layout> kLayouts = {
    {"transformer.", false, ".lora_A.weight", ".lora_B.weight", "diffusers: transformer.*.lora_A.weight"},
    {"transformer.", false, ".lora.down.weight", ".lora.up.weight",
     "diffusers: transformer.*.lora.down.weight"},
    {"", false, ".lora_A.weight", ".lora_B.weight", "no prefix: *.lora_A.weight"},
    {"", false, ".lora.down.weight", ".lora.up.weight", "no prefix: *.lora.down.weight"},
    {"", false, ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight",
     "no prefix: *.lora_linear_layer.down.weight"},
    {"", false, ".lora_A.default.weight", ".lora_B.default.weight", "no prefix: *.lora_A.default.weight"},
    {"transformer.", false, ".lora_A.mine.weight", ".lora_B.mine.weight",
     "diffusers: transformer.*.lora_A.mine.weight"},
    {"diffusion_model.", false, ".lora_A.weight", ".lora_B.weight",
     "ComfyUI: diffusion_model.*.lora_A.weight"},
    {"diffusion_model.", false, ".lora_down.weight", ".lora_up.weight",
     "ComfyUI: diffusion_model.*.lora_down.weight"},
    {"model.diffusion_model.", false, ".lora_down.weight", ".lora_up.weight",
     "ComfyUI: model.diffusion_model.*.lora_down.weight"},
    {"lora_unet_", true, ".lora_down.weight", ".lora_up.weight", "kohya: lora_unet_*.lora_down.weight"},
    {"lora_unet_", true, ".lora_A.weight", ".lora_B.weight", "kohya: lora_unet_*.lora_A.weight"},
    {"lora_transformer_", true, ".lora_down.weight", ".lora_up.weight",
     "OneTrainer: lora_transformer_*.lora_down.weight"},
    {"lycoris_", true, ".lora_down.weight", ".lora_up.weight", "LyCORIS: lycoris_*.lora_down.weight"},
};

std::string named(const Layout& layout, std::string module) {
  if (layout.flattened) std::replace(module.begin(), module.end(), '.', '_');
  return layout.prefix + module;
}

TEST(LoraLayouts, AllGiveTheSamePairs) {
  const Folder folder;
  const auto down = numbers({3, 6}), up = numbers({5, 3}, 1.0);
  const auto expected = at::matmul(up.to(at::kDouble), down.to(at::kDouble)) * 2.0;
  for (const auto& layout : kLayouts) {
    const auto module = named(layout, kQ);
    write_safetensors(folder / "l", {{module + layout.down, down},
                                     {module + layout.up, up},
                                     {module + ".alpha", at::full({}, 6.0, at::kBFloat16)}});
    const auto content = read_lora_content(folder / "l");
    ASSERT_EQ(content.pairs.size(), 1u) << layout.shown;
    EXPECT_EQ(content.pairs[0].layout, layout.shown);
    const auto lora = read_lora(folder / "l", lora_model());
    EXPECT_EQ(lora.scale, 2.0) << layout.shown;
    EXPECT_EQ(lora.note(), "");
    EXPECT_TRUE(at::equal(effect(lora, kQ), expected)) << layout.shown;
  }
}

TEST(LoraLayouts, OriginalNamesAreSplitAndTurned) {
  const Folder folder;
  const auto down = numbers({2, 6}), up = numbers({15, 2}, 1.0), half = numbers({4, 2}, 2.0);
  const auto whole = at::matmul(up.to(at::kDouble), down.to(at::kDouble));
  for (const auto& layout : kLayouts) {
    const auto fused = named(layout, "joint.0.x_block.attn.qkv"), last = named(layout, "final.modulation.1");
    write_safetensors(folder / "l", {{fused + layout.down, down},
                                     {fused + layout.up, up},
                                     {last + layout.down, down},
                                     {last + layout.up, half}});
    const auto lora = read_lora(folder / "l", lora_model());
    EXPECT_EQ(lora.matched, 2);
    ASSERT_EQ(lora.tensors.size(), 8u);
    for (int64_t i = 0; i < 3; ++i) {
      const auto layer = std::string("blocks.0.attn.to_") + "qkv"[i];
      EXPECT_TRUE(at::allclose(effect(lora, layer), whole.slice(0, 5 * i, 5 * i + 5), 0, 1e-15))
          << layout.shown;
    }
    const auto turned = at::cat({half.slice(0, 2), half.slice(0, 0, 2)});
    EXPECT_TRUE(at::equal(lora.tensors.at("norm_out.linear.lora_B.weight"), turned)) << layout.shown;
  }
}

TEST(LoraLayouts, AttentionProcessors) {
  const Folder folder;
  const std::string at = "transformer.blocks.0.attn.processor.";
  write_safetensors(folder / "l", {{at + "to_q_lora.down.weight", numbers({2, 6})},
                                   {at + "to_q_lora.up.weight", numbers({5, 2})},
                                   {at + "to_out_lora.down.weight", numbers({2, 5})},
                                   {at + "to_out_lora.up.weight", numbers({5, 2})}});
  const auto lora = read_lora(folder / "l", lora_model());
  EXPECT_EQ(lora.matched, 2);
  EXPECT_TRUE(lora.tensors.count(kQ + ".lora_A.weight") && lora.tensors.count(kOut + ".lora_B.weight"));
}

TEST(LoraLayouts, FolderOfPeft) {
  const Folder folder;
  const auto config = [&](const std::string& text) { folder.write("p/adapter_config.json", text); };
  const auto scale = [&](const std::string& path) { return read_lora(folder / path, lora_model()).scale; };
  const std::string module = "base_model.model." + kQ;
  std::filesystem::create_directories(folder / "p");
  write_safetensors(folder / "p/adapter_model.safetensors", {{module + ".lora_A.weight", numbers({2, 6})},
                                                             {module + ".lora_B.weight", numbers({5, 2})}});
  EXPECT_NE(complaint([&] { scale("p"); }).find("adapter_config.json, which is not beside it"),
            std::string::npos);
  config(R"({"peft_type":"LORA","r":2,"lora_alpha":3,"rank_pattern":{},"alpha_pattern":{"to_k":1}})");
  EXPECT_EQ(scale("p"), 1.5);
  EXPECT_EQ(scale("p/adapter_model.safetensors"), 1.5);
  config(
      R"({"r":4,"lora_alpha":8,"use_rslora":true,"rank_pattern":{"to_q":2},"alpha_pattern":{"attn.to_q":4}})");
  EXPECT_DOUBLE_EQ(scale("p"), 4.0 / std::sqrt(2.0));
  config(R"({"peft_type":"LOKR","r":2})");
  EXPECT_NE(complaint([&] { scale("p"); }).find("kind \"LOKR\""), std::string::npos);
  config(R"({"r":2,"init_lora_weights":"olora"})");
  EXPECT_NE(complaint([&] { scale("p"); }).find("path_initial_model_for_weight_conversion"),
            std::string::npos);
  config("[]");
  EXPECT_NE(complaint([&] { scale("p"); }).find("must be a JSON object"), std::string::npos);
  // The same prefix in a file of another name needs the config just as much.
  std::filesystem::rename(folder / "p/adapter_model.safetensors", folder / "l.safetensors");
  EXPECT_NE(complaint([&] { scale("l.safetensors"); }).find("is a LoRA of PEFT"), std::string::npos);
  EXPECT_NE(complaint([&] { scale("p"); }).find("neither adapter_model.safetensors nor"), std::string::npos);
}

TEST(LoraLayouts, FolderOfDiffusers) {
  const Folder folder;
  write_lora(folder / "pytorch_lora_weights.safetensors",
             {{kQ + ".lora_A.weight", numbers({2, 6})}, {kQ + ".lora_B.weight", numbers({5, 2})}}, {2, 4.0},
             {"to_q"});
  EXPECT_EQ(read_lora(folder.path(), lora_model()).scale, 2.0);
  folder.write("adapter_model.safetensors", "");
  EXPECT_NE(complaint([&] { read_lora(folder.path(), lora_model()); }).find("both"), std::string::npos);
}

TEST(LoraLayouts, RanksAndScalesMayDiffer) {
  const Folder folder;
  const auto a = numbers({2, 6}), b = numbers({5, 2}, 1.0), c = numbers({3, 5}, 2.0),
             d = numbers({5, 3}, 3.0);
  write_safetensors(folder / "l", {{"lora_unet_blocks_0_attn_to_q.lora_down.weight", a},
                                   {"lora_unet_blocks_0_attn_to_q.lora_up.weight", b},
                                   {"lora_unet_blocks_0_attn_to_q.alpha", at::full({}, 1.0)},
                                   {"lora_unet_blocks_0_attn_to_out_0.lora_down.weight", c},
                                   {"lora_unet_blocks_0_attn_to_out_0.lora_up.weight", d},
                                   {"lora_unet_blocks_0_attn_to_out_0.alpha", at::full({1}, 4.0)}});
  const auto lora = read_lora(folder / "l", lora_model());
  EXPECT_EQ(lora.scale_of(kQ), 0.5);
  EXPECT_EQ(lora.scale_of(kOut), 4.0 / 3.0);
  EXPECT_TRUE(at::equal(lora.tensors.at(kOut + ".lora_B.weight"), d));
  const auto product = [](const at::Tensor& up, const at::Tensor& down) {
    return at::matmul(up.to(at::kDouble), down.to(at::kDouble));
  };
  EXPECT_LE((effect(lora, kQ) - product(b, a) * 0.5).abs().max().item<double>(), 1e-15);
  EXPECT_LE((effect(lora, kOut) - product(d, c) * (4.0 / 3.0)).abs().max().item<double>(), 1e-15);
}

TEST(LoraLayouts, Convolutions) {
  const Folder folder;
  const auto down = numbers({2, 3, 2, 2}), up = numbers({7, 2}, 1.0);
  for (const bool flat : {false, true}) {
    write_safetensors(folder / "l",
                      {{"lora_unet_x_embedder_proj.lora_down.weight", down},
                       {"lora_unet_x_embedder_proj.lora_up.weight", flat ? up : up.view({7, 2, 1, 1})}});
    const auto lora = read_lora(folder / "l", lora_model());
    EXPECT_EQ(lora.tensors.at("patch.proj.lora_B.weight").sizes(), (std::vector<int64_t>{7, 2, 1, 1}));
  }
  // A linear layer stored as a 1 x 1 convolution.
  write_safetensors(folder / "l", {{kQ + ".lora_down.weight", numbers({2, 6, 1, 1})},
                                   {kQ + ".lora_up.weight", numbers({5, 2, 1, 1})}});
  EXPECT_EQ(read_lora(folder / "l", lora_model()).tensors.at(kQ + ".lora_A.weight").dim(), 2);
  write_safetensors(folder / "l", {{"patch.proj.lora_down.weight", down},
                                   {"patch.proj.lora_up.weight", numbers({7, 2, 2, 2})}});
  EXPECT_NE(complaint([&] { read_lora(folder / "l", lora_model()); }).find("wider than 1 x 1"),
            std::string::npos);
}

TEST(LoraLayouts, OneLayerTwiceIsAnError) {
  const Folder folder;
  const auto said = [&](const std::string& one, const std::string& two, int64_t rows) {
    write_safetensors(folder / "l", {{one + ".lora_A.weight", numbers({2, 6})},
                                     {one + ".lora_B.weight", numbers({5, 2})},
                                     {two + ".lora_down.weight", numbers({2, 6})},
                                     {two + ".lora_up.weight", numbers({rows, 2})}});
    return complaint([&] { read_lora(folder / "l", lora_model()); });
  };
  EXPECT_NE(said("transformer." + kQ, "diffusion_model." + kQ, 5).find("is there twice"), std::string::npos);
  EXPECT_NE(said("transformer." + kQ, "lora_unet_blocks_0_attn_to_q", 5).find("both adapt the layer " + kQ),
            std::string::npos);
  EXPECT_NE(
      said("transformer." + kQ, "lora_unet_joint_0_x_block_attn_qkv", 15).find("both adapt the layer " + kQ),
      std::string::npos);
}

TEST(LoraLayouts, KeysThatAreNone) {
  for (const char* name :
       {"x", "lora_A.weight", ".lora_A.weight", "transformer.lora_A.weight", "lora_unet_.lora_up.weight",
        "transformer.x.weight", "x.lora_A.a.b.weight", "x.lora_C.weight", "alpha"})
    EXPECT_FALSE(parse_lora_key(name, "f").has_value()) << name;
  EXPECT_EQ(parse_lora_key("a.lora_A.lora_B.weight", "f")->module, "a");  // an adapter named lora_B
}

}  // namespace
}  // namespace thalweg
