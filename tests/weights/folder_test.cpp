#include "engine/weights/folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/weights/safetensors.h"
#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::Folder;

constexpr const char* kIndex = R"({"_class_name":"P","_diffusers_version":"0.42.1","force_zeros":true,
  "vae":["diffusers","AutoencoderKL"],"text_encoder":["transformers","CLIPTextModel"],
  "text_encoder_3":[null,null],"safety":["custom","Checker"]})";

TEST(ModelFolder, ReadsComponents) {
  const Folder root;
  root.write("model_index.json", kIndex);
  root.write("vae/config.json", R"({"latent_channels":4})");
  write_safetensors(root / "vae/diffusion_pytorch_model.safetensors", {{"w", at::ones({2})}});
  root.write("text_encoder/config.json", "{}");
  write_safetensors(
      root / "text_encoder/model.safetensors",
      {{"text_model.embeddings.position_ids", at::arange(77).unsqueeze(0)}, {"w", at::ones({3})}});
  const auto folder = open_model_folder(root.path());
  EXPECT_EQ(folder.class_name, "P");
  EXPECT_TRUE(has_component(folder, "vae"));
  EXPECT_FALSE(has_component(folder, "text_encoder_3"));
  EXPECT_FALSE(has_component(folder, "force_zeros"));
  EXPECT_EQ(component_config(folder, "vae").at("latent_channels"), 4);
  EXPECT_EQ(component_weights(folder, "vae").at("w").numel(), 2);
  const auto text = component_weights(folder, "text_encoder");
  EXPECT_EQ(text.size(), 1u);  // position_ids are derived by present models
  EXPECT_EQ(text.at("w").numel(), 3);
}

TEST(ModelFolder, KnowsTheFilesOfAComponent) {
  const Folder root;
  root.write("model_index.json", kIndex);
  root.write("text_encoder/config.json", "{}");
  write_safetensors(root / "text_encoder/model.safetensors", {{"w", at::ones({3})}});
  root.write("vae/diffusion_pytorch_model.safetensors.index.json",
             R"({"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-1.safetensors"}})");
  const auto folder = open_model_folder(root.path());
  using Paths = std::vector<std::filesystem::path>;
  EXPECT_EQ(component_files(folder, "text_encoder"),
            (Paths{root / "text_encoder/model.safetensors", root / "text_encoder/config.json"}));
  EXPECT_EQ(component_files(folder, "vae"),
            (Paths{root / "vae/diffusion_pytorch_model.safetensors.index.json", root / "vae/m-1.safetensors",
                   root / "vae/m-2.safetensors", root / "vae/config.json"}));
}

TEST(ModelFolder, SaysWhatIsMissing) {
  const Folder root;
  root.write("model_index.json", kIndex);
  const auto folder = open_model_folder(root.path());
  const auto config = [&](const std::string& name) {
    return complaint([&] { component_config(folder, name); });
  };
  EXPECT_NE(config("transformer").find("lists no component \"transformer\""), std::string::npos);
  EXPECT_NE(config("vea").find("did you mean \"vae\"?"), std::string::npos);
  EXPECT_NE(config("text_encoder_3").find("lists no component"), std::string::npos);
  EXPECT_NE(config("../etc").find("lists no component"), std::string::npos);
  EXPECT_NE(config("vae").find("no such folder, though model_index.json lists"), std::string::npos);
  std::filesystem::create_directories(root / "vae");
  EXPECT_NE(config("vae").find("config.json: no such file"), std::string::npos);
  root.write("vae/config.json", "[]");
  EXPECT_NE(config("vae").find("must be a JSON object"), std::string::npos);
  std::filesystem::create_directories(root / "safety");
  EXPECT_NE(complaint([&] { component_weights(folder, "safety"); }).find("of library \"custom\""),
            std::string::npos);
}

TEST(ModelFolder, KnowsVariants) {
  const Folder root;
  root.write("model_index.json", kIndex);
  root.write("vae/config.json", "{}");
  root.write("text_encoder/config.json", "{}");
  write_safetensors(root / "vae/diffusion_pytorch_model.fp16.safetensors", {{"w", at::ones({2})}});
  write_safetensors(root / "vae/diffusion_pytorch_model.safetensors", {{"w", at::ones({3})}});
  write_safetensors(root / "text_encoder/model.safetensors", {{"w", at::ones({4})}});
  const auto plain = open_model_folder(root.path()), half = open_model_folder(root.path(), "fp16");
  EXPECT_EQ(component_weights(plain, "vae").at("w").numel(), 3);
  EXPECT_EQ(component_weights(half, "vae").at("w").numel(), 2);
  EXPECT_EQ(component_weights(half, "text_encoder").at("w").numel(), 4);  // it has none of that variant
  EXPECT_EQ(component_files(half, "vae").front().filename(), "diffusion_pytorch_model.fp16.safetensors");
  EXPECT_NE(complaint([&] { open_model_folder(root.path(), "bf16"); }).find("no component has weights of"),
            std::string::npos);
  EXPECT_NE(complaint([&] { open_model_folder(root.path(), "a/b"); }).find("letters, digits"),
            std::string::npos);
}

TEST(ModelFolder, GuessesAWholeModelInOneFile) {
  const Folder root;
  root.write("sd3_medium.safetensors", "x");
  const auto said = complaint([&] { open_model_folder(root.path()); });
  EXPECT_NE(said.find("sd3_medium.safetensors"), std::string::npos);
  EXPECT_NE(said.find("from_single_file"), std::string::npos);
}

TEST(ModelFolder, RefusesMalformedIndices) {
  const Folder root;
  const auto said = [&](const std::string& index) {
    root.write("model_index.json", index);
    return complaint([&] { open_model_folder(root.path()); });
  };
  EXPECT_NE(complaint([&] { open_model_folder(root / "none"); }).find("no such folder; a model is"),
            std::string::npos);
  EXPECT_NE(complaint([&] { open_model_folder(root.path()); }).find("has no model_index.json"),
            std::string::npos);
  EXPECT_NE(said("{").find("not valid JSON"), std::string::npos);
  EXPECT_NE(said("[]").find("must be a JSON object"), std::string::npos);
  EXPECT_NE(said("{}").find("\"_class_name\" is missing"), std::string::npos);
  EXPECT_NE(said(R"({"_class_name":1})").find("must be a text"), std::string::npos);
  for (const char* entry :
       {R"("vae":["diffusers"])", R"("vae":["diffusers",null])", R"("vae":[1,2])", R"("vae":[])"})
    EXPECT_NE(said("{\"_class_name\":\"P\"," + std::string(entry) + "}").find("must be [library, class]"),
              std::string::npos)
        << entry;
  EXPECT_NE(said(R"({"_class_name":"P","../x":["diffusers","A"]})").find("letters, digits and '_'"),
            std::string::npos);
}

TEST(Config, ChecksTypesAndBounds) {
  const auto c = parse_json(R"({"i":3,"f":0.5,"b":true,"t":"x","n":null,"big":18446744073709551615,"l":[1,2],
    "s":["a","b"],"mixed":[1,"a"],"none":[]})",
                            "c");
  const std::filesystem::path path = "vae/config.json";
  EXPECT_EQ(config_integer(c, "i", 9, 0, 5, path), 3);
  EXPECT_EQ(config_integer(c, "absent", 9, 0, 5, path), 9);
  EXPECT_EQ(config_integer(c, "n", 9, 0, 5, path), 9);
  EXPECT_EQ(config_number(c, "f", 1.0, 0.0, 1.0, path), 0.5);
  EXPECT_EQ(config_number(c, "i", 1.0, 0.0, 5.0, path), 3.0);
  EXPECT_TRUE(config_bool(c, "b", false, path));
  EXPECT_EQ(config_text(c, "t", "", path), "x");
  EXPECT_EQ(config_integers(c, "l", {}, 0, 5, 4, path), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(config_texts(c, "s", {}, 4, path), (std::vector<std::string>{"a", "b"}));
  const auto said = [](auto action) { return complaint(action); };
  EXPECT_EQ(said([&] { config_integer(c, "i", 0, 4, 9, path); }),
            "vae/config.json: \"i\" must be a whole number from 4 to 9, not 3");
  EXPECT_NE(said([&] { config_integer(c, "f", 0, 0, 9, path); }), "");
  EXPECT_NE(said([&] { config_integer(c, "big", 0, -9, INT64_MAX, path); }), "");
  EXPECT_EQ(said([&] { config_number(c, "f", 0, 1.0, 2.0, path); }),
            "vae/config.json: \"f\" must be a number from 1.0 to 2.0, not 0.5");
  EXPECT_NE(said([&] { config_number(c, "t", 0, 1.0, 2.0, path); }), "");
  EXPECT_EQ(said([&] { config_bool(c, "i", false, path); }), "vae/config.json: \"i\" must be true or false");
  EXPECT_EQ(said([&] { config_text(c, "i", "", path); }), "vae/config.json: \"i\" must be a text");
  EXPECT_EQ(said([&] { config_integers(c, "l", {}, 0, 1, 4, path); }),
            "vae/config.json: \"l[1]\" must be a whole number from 0 to 1, not 2");
  EXPECT_NE(said([&] { config_integers(c, "l", {}, 0, 5, 1, path); }).find("a list of 1 to 1 elements"),
            std::string::npos);
  EXPECT_NE(said([&] { config_integers(c, "none", {}, 0, 5, 1, path); }), "");
  EXPECT_EQ(said([&] { config_texts(c, "mixed", {}, 4, path); }),
            "vae/config.json: \"mixed[0]\" must be a text");
  EXPECT_NE(said([&] { config_integer(Json::array(), "i", 0, 0, 1, path); }).find("JSON object"),
            std::string::npos);
}

}  // namespace
}  // namespace thalweg
