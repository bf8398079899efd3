#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"
#include "pipelines/pretraining/stages.h"
#include "pipelines/pretraining/vocabulary.h"
#include "pipelines/scenes/caption.h"
#include "pipelines/scenes/scene.h"

namespace thalweg {
namespace {

constexpr int64_t kCaptionTokens = 10;  // the longest caption of the scenes world has 8 words

const Json& part(const Json& architecture, const std::string& name) {
  const auto it = architecture.find(name);
  if (it == architecture.end() || !it->is_object())
    throw Error("/architecture/" + name, "must be the component's config.json as an object");
  return *it;
}

Json model_index() {
  const Json absent = Json::array({nullptr, nullptr});
  return {{"_class_name", "StableDiffusion3Pipeline"},
          {"_diffusers_version", "0.42.1"},
          {"feature_extractor", absent},
          {"image_encoder", absent},
          {"scheduler", {"diffusers", "FlowMatchEulerDiscreteScheduler"}},
          {"text_encoder", {"transformers", "CLIPTextModelWithProjection"}},
          {"text_encoder_2", {"transformers", "CLIPTextModelWithProjection"}},
          {"text_encoder_3", absent},
          {"tokenizer", {"transformers", "CLIPTokenizer"}},
          {"tokenizer_2", {"transformers", "CLIPTokenizer"}},
          {"tokenizer_3", absent},
          {"transformer", {"diffusers", "SD3Transformer2DModel"}},
          {"vae", {"diffusers", "AutoencoderKL"}}};
}

void write_config(const std::filesystem::path& path, const std::string& class_key, const Json& class_value,
                  const Json& config) {
  Json whole = {{class_key, class_value}};
  whole.update(config);
  std::filesystem::create_directories(path.parent_path());
  write_file(path, whole.dump(2) + "\n");
}

// A text encoder's config with what follows from the tokenizer filled in.
Json text_config(Json config, int64_t vocabulary) {
  config["model_type"] = "clip_text_model";
  config["vocab_size"] = vocabulary;
  config["max_position_embeddings"] = kCaptionTokens;
  config["bos_token_id"] = vocabulary - 2;
  config["eos_token_id"] = vocabulary - 1;
  config["pad_token_id"] = vocabulary - 1;
  return config;
}

Sd3Parts parse_architecture(const Json& a, const Json& first, const Json& second) {
  Sd3Parts parts;
  parts.transformer = parse_sd3_transformer_config(part(a, "transformer"), "/architecture/transformer");
  parts.vae = AutoencoderKl::parse(part(a, "vae"), "/architecture/vae");
  parts.first = ClipTextEncoder::parse(first, "/architecture/text_encoder");
  parts.second = ClipTextEncoder::parse(second, "/architecture/text_encoder_2");
  parts.num_train_timesteps = config_integer(part(a, "scheduler"), "num_train_timesteps", 1000, 1, 1000000,
                                             "/architecture/scheduler");
  return parts;
}

}  // namespace

void check_architecture(const PretrainOptions& options) {
  const auto& a = options.architecture;
  constexpr int64_t kAnyVocabulary = 1000;  // the tokenizers are not written yet
  parse_architecture(a, text_config(part(a, "text_encoder"), kAnyVocabulary),
                     text_config(part(a, "text_encoder_2"), kAnyVocabulary));
}

Sd3Parts write_architecture(const PretrainOptions& options, const std::filesystem::path& folder) {
  const auto& a = options.architecture;
  const auto words = scenes::vocabulary();
  int64_t vocabulary = 0;
  for (const char* name : {"tokenizer", "tokenizer_2"})
    vocabulary = write_word_tokenizer(folder / name, words, kCaptionTokens);
  const auto first = text_config(part(a, "text_encoder"), vocabulary);
  const auto second = text_config(part(a, "text_encoder_2"), vocabulary);
  const auto parts = parse_architecture(a, first, second);
  const Json clip = Json::array({"CLIPTextModelWithProjection"});
  write_config(folder / "transformer" / "config.json", "_class_name", "SD3Transformer2DModel",
               part(a, "transformer"));
  write_config(folder / "text_encoder" / "config.json", "architectures", clip, first);
  write_config(folder / "text_encoder_2" / "config.json", "architectures", clip, second);
  write_config(folder / "scheduler" / "scheduler_config.json", "_class_name",
               "FlowMatchEulerDiscreteScheduler", part(a, "scheduler"));
  // The VAE's config follows with its weights: scale and shift are measured.
  write_file(folder / "model_index.json", model_index().dump(2) + "\n");
  return parts;
}

at::Tensor training_pictures(const PretrainOptions& options, const std::vector<int64_t>& indices) {
  const auto seed = static_cast<uint64_t>(options.seed);
  const int64_t size = options.data.size;
  auto pictures = at::empty({static_cast<int64_t>(indices.size()), 3, size, size}, at::kFloat);
  auto* out = pictures.mutable_data_ptr<float>();
  for (const int64_t index : indices) {
    const auto scene = scenes::training_scene(seed, static_cast<uint64_t>(index));
    scenes::render(scene, static_cast<uint64_t>(index), out, static_cast<int>(size));
    out += 3 * size * size;
  }
  return pictures.mul_(2.0).sub_(1.0);
}

std::vector<std::string> training_captions(const PretrainOptions& options) {
  std::vector<std::string> captions;
  for (int64_t i = 0; i < options.data.images; ++i)
    captions.push_back(
        scenes::training_scene(static_cast<uint64_t>(options.seed), static_cast<uint64_t>(i)).caption);
  return captions;
}

double learning_rate_factor(int64_t step, int64_t steps, int64_t warmup_steps, double decay_fraction) {
  const double warm =
      warmup_steps > 0 ? static_cast<double>(step + 1) / static_cast<double>(warmup_steps) : 1.0;
  const double left = static_cast<double>(steps - step) / static_cast<double>(steps);
  const double decay = decay_fraction > 0.0 ? left / decay_fraction : 1.0;
  return std::min({1.0, warm, decay});
}

}  // namespace thalweg
