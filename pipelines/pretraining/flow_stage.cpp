// Conditional flow matching with logit-normal sigmas (Esser et al. 2024, arXiv 2403.03206, section 3.1, mean
// 0, deviation 1). Text encoders learn with the transformer; Muon takes the matrices inside the blocks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <unordered_map>

#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "engine/optim/muon.h"
#include "engine/weights/safetensors.h"
#include "pipelines/pretraining/skipped_updates.h"
#include "pipelines/pretraining/stages.h"
#include "pipelines/training/run.h"

namespace thalweg {
namespace {

constexpr const char* kTransformer = "transformer/";
constexpr const char* kFirst = "text_encoder/";
constexpr const char* kSecond = "text_encoder_2/";

TensorMap with_prefix(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) result[prefix + name] = tensor;
  return result;
}

TensorMap without_prefix(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) result[name.substr(prefix.size())] = tensor;
  return result;
}

TensorMap initial_state(const Sd3Parts& parts, uint64_t seed) {
  Binder transformer, first, second;
  Sd3Transformer::bind(parts.transformer, transformer);
  ClipTextEncoder::bind(parts.first, first);
  ClipTextEncoder::bind(parts.second, second);
  auto state = with_prefix(initial_parameters(transformer.specs(), seed), kTransformer);
  state.merge(with_prefix(initial_parameters(first.specs(), seed), kFirst));
  state.merge(with_prefix(initial_parameters(second.specs(), seed), kSecond));
  return state;
}

// What a batch needs: latents of every picture and the token ids of its caption.
struct FlowData {
  at::Tensor latents_NCHW;  // float16, scaled
  at::Tensor ids_NL;        // token ids per picture
  at::Tensor empty_ids_L;   // of the empty caption
};

FlowData prepare_data(const PretrainOptions& o, const std::filesystem::path& folder,
                      const Observer& observer) {
  c10::NoGradGuard no_grad;
  FlowData data;
  const auto tokenizer = ClipTokenizer::load(folder / "tokenizer");
  std::unordered_map<std::string, std::vector<int64_t>> ids_of;
  std::vector<int64_t> ids;
  for (const auto& caption : training_captions(o)) {
    auto& row = ids_of[caption];
    if (row.empty()) row = tokenizer.encode(caption);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  data.ids_NL = at::tensor(ids, at::kLong).view({o.data.images, -1});
  data.empty_ids_L = token_ids(tokenizer, {""})[0];
  const auto path = folder / "vae" / "config.json";
  const auto config = AutoencoderKl::parse(parse_json_file(path), path);
  const auto dtype = dtype_named(o.dtype);
  const auto weights = cast(read_weights(folder / "vae", "diffusion_pytorch_model"), dtype);
  const auto vae = AutoencoderKl::bind(config, Binder(weights, path.string()));
  constexpr int64_t kChunk = 64;
  std::vector<at::Tensor> chunks;
  for (int64_t begin = 0; begin < o.data.images; begin += kChunk) {
    std::vector<int64_t> indices;
    for (int64_t i = begin; i < std::min(begin + kChunk, o.data.images); ++i) indices.push_back(i);
    const auto mean = vae.encode_moments(training_pictures(o, indices).to(dtype)).chunk(2, 1)[0];
    chunks.push_back(vae.scaled(mean.to(at::kFloat)).to(at::kHalf));
    observer.progress("latents", begin + kChunk, o.data.images, {});
    if (observer.stop_requested()) throw Stopped{};
  }
  data.latents_NCHW = at::cat(chunks);
  return data;
}

struct Batch {
  at::Tensor x0_BCHW, ids_BL, sigma_B, noise_BCHW;
};

Batch draw_batch(const PretrainOptions& o, const FlowData& data, int64_t step) {
  const auto seed = static_cast<uint64_t>(o.seed);
  const auto at_step = static_cast<uint64_t>(step);
  std::vector<int64_t> rows, slots;
  std::vector<uint8_t> dropped;
  for (int64_t row = 0; row < o.flow.batch_size; ++row) {
    const auto slot = static_cast<uint64_t>(row) + (uint64_t{1} << 32);  // apart from the VAE stage's draws
    rows.push_back(static_cast<int64_t>(random_bits(seed, Purpose::data, slot, at_step) %
                                        static_cast<uint64_t>(o.data.images)));
    dropped.push_back(random_uniform(seed, Purpose::dropout, slot, at_step) < o.flow.caption_dropout);
    slots.push_back(row);
  }
  const auto index = at::tensor(rows, at::kLong);
  const auto drop_B1 = at::tensor(dropped, at::kByte).to(at::kBool).unsqueeze(1);
  Batch batch;
  batch.x0_BCHW = data.latents_NCHW.index_select(0, index).to(at::kFloat);
  batch.ids_BL = at::where(drop_B1, data.empty_ids_L.unsqueeze(0), data.ids_NL.index_select(0, index));
  batch.sigma_B = at::sigmoid(normal_noise(seed, Purpose::training_sigma, slots, at_step, {1}).squeeze(1));
  batch.noise_BCHW =
      normal_noise(seed, Purpose::training_noise, slots, at_step, batch.x0_BCHW.sizes().slice(1));
  return batch;
}

at::Tensor flow_loss(const PretrainOptions& o, const Sd3Parts& parts, const TensorMap& parameters,
                     const at::Tensor& position_table, const Batch& b) {
  const auto dtype = dtype_named(o.dtype);
  const auto low = cast(parameters, dtype);
  auto backbone = without_prefix(low, kTransformer);
  backbone["pos_embed.pos_embed"] = position_table.to(dtype);
  const auto first_weights = without_prefix(low, kFirst), second_weights = without_prefix(low, kSecond);
  const auto transformer = Sd3Transformer::bind(parts.transformer, Binder(backbone, "transformer"));
  const auto first = ClipTextEncoder::bind(parts.first, Binder(first_weights, "text_encoder"));
  const auto second = ClipTextEncoder::bind(parts.second, Binder(second_weights, "text_encoder_2"));
  const auto t5_1LD = at::zeros({1, o.max_sequence_length, parts.transformer.joint_attention_dim});
  const auto c = sd3_conditioning(first, b.ids_BL, second, b.ids_BL, t5_1LD);
  const auto sigma = b.sigma_B.view({-1, 1, 1, 1});
  const auto x = (1.0 - sigma) * b.x0_BCHW + sigma * b.noise_BCHW;
  const auto timestep_B = b.sigma_B * static_cast<double>(parts.num_train_timesteps);
  const auto v = transformer(x, timestep_B, c.at("prompt_embeds"), c.at("pooled_prompt_embeds"));
  return (v.to(at::kFloat) - (b.noise_BCHW - b.x0_BCHW)).square().mean();
}

bool is_block_matrix(const std::string& name, const at::Tensor& tensor) {
  return tensor.dim() == 2 && name.find("transformer_blocks.") != std::string::npos;
}

class FlowTrainee final : public Trainee {
 public:
  FlowTrainee(const PretrainOptions& options, const Sd3Parts& parts, const std::filesystem::path& folder,
              const Observer& observer)
      : o_(options),
        parts_(parts),
        folder_(folder),
        observer_(observer),
        position_table_(sd3_position_table(parts.transformer)),
        parameters_(leaves(initial_state(parts, static_cast<uint64_t>(options.seed)))),
        average_(cloned(parameters_)) {}

  Metrics iterate(int64_t step) override {
    if (!data_) data_ = prepare_data(o_, folder_, observer_);
    const auto loss = flow_loss(o_, parts_, parameters_, position_table_, draw_batch(o_, *data_, step));
    const double norm = update(step, gradients_of(loss, parameters_));
    const double now = loss.item<double>();
    if (std::isfinite(now)) mean_loss_ = mean_loss_ == 0.0 ? now : 0.99 * mean_loss_ + 0.01 * now;
    Metrics metrics = {{"loss", now}, {"mean_loss", mean_loss_}, {"grad_norm", norm}};
    skipped_.skips(norm, step, metrics);
    return metrics;
  }

  void state(RunState& state) override {
    state.tensors("parameters", parameters_);
    state.tensors("average", average_);
    auto adamw = adamw_.state(), muon = muon_.state();
    state.tensors("adamw", adamw);
    state.tensors("muon", muon);
    state.number("mean_loss", mean_loss_);
    skipped_.state(state);
    if (!state.reads()) return;
    parameters_ = leaves(parameters_);
    adamw_.load_state(adamw);
    muon_.load_state(muon);
  }

  std::vector<Event> take_events() override { return skipped_.take(); }
  int64_t skipped() const { return skipped_.count(); }

  // Whoever looks before the end finds a model that can be used.
  void saved() override { write(); }

  void write() const {
    const auto dtype = dtype_named(o_.save_dtype);
    auto backbone = without_prefix(average_, kTransformer);
    backbone["pos_embed.pos_embed"] = position_table_;
    write_safetensors(folder_ / "transformer" / "diffusion_pytorch_model.safetensors", cast(backbone, dtype),
                      {{"format", "pt"}});
    // float32 always: transformers opens a file in its own dtype, diffusers in float32, and the two must
    // meet.
    for (const std::string name : {kFirst, kSecond})
      write_safetensors(folder_ / name / "model.safetensors", without_prefix(average_, name),
                        {{"format", "pt"}});
  }

 private:
  // The gradients' norm; an update that is not finite is skipped.
  double update(int64_t step, TensorMap gradients) {
    const double norm = clip_gradients(gradients, o_.flow.max_grad_norm);
    if (!std::isfinite(norm)) return norm;
    TensorMap matrices, others;
    for (const auto& [name, gradient] : gradients)
      (is_block_matrix(name, gradient) ? matrices : others)[name] = gradient;
    const double factor =
        learning_rate_factor(step, o_.flow.steps, o_.flow.warmup_steps, o_.flow.decay_fraction);
    muon_.step(parameters_, matrices, o_.flow.muon_learning_rate * factor);
    adamw_.step(parameters_, others, o_.flow.learning_rate * factor);
    ema_update(average_, parameters_, o_.flow.ema_decay);
    return norm;
  }

  const PretrainOptions& o_;
  const Sd3Parts& parts_;
  const std::filesystem::path folder_;
  const Observer& observer_;
  const at::Tensor position_table_;
  std::optional<FlowData> data_;  // made when the first update asks for it
  TensorMap parameters_, average_;
  AdamW adamw_{{0.9, 0.98, 1e-8, 0.0}};
  Muon muon_{{}};
  SkippedUpdates skipped_{"flow", "/flow/learning_rate or /flow/muon_learning_rate"};
  double mean_loss_ = 0.0;  // of the last hundred or so updates, for the eye
};

}  // namespace

int64_t train_flow(const PretrainOptions& o, const Sd3Parts& parts, const std::filesystem::path& folder,
                   const Observer& observer) {
  FlowTrainee trainee(o, parts, folder, observer);
  TrainingRun(stage_plan(o, "flow", o.output, o.flow.steps, "mean_loss"), trainee, std::nullopt, observer)
      .run();
  require_some_update(trainee.skipped(), o.flow.steps, "/flow/learning_rate");
  trainee.write();
  return trainee.skipped();
}

}  // namespace thalweg
