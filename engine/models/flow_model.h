// What every model family offers to the rest of the engine. A model is immutable; roles (policy, old,
// reference) are bindings of its backbone over named tensors, so workers never race and nothing says "which
// role is active".
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/values.h"
#include "engine/models/binder.h"
#include "engine/weights/lora_names.h"
#include "engine/weights/lora_pattern.h"
#include "engine/weights/model_copy.h"

namespace thalweg {

struct LatentShape {
  int64_t channels, frames, height, width;
  std::vector<int64_t> sizes() const { return {channels, frames, height, width}; }
};

struct ModelOptions {
  at::ScalarType dtype = at::kFloat;  // of the backbone and the text encoders
  at::ScalarType vae_dtype = at::kFloat;
  int64_t max_sequence_length = 256;  // T5 tokens, its zero tokens included when it is absent
  at::Device device = at::kCPU;
  bool activation_checkpointing = false;  // blocks run again in the backward pass: less memory, more time
  std::string variant = {};               // of the files of weights, "fp16"; empty: the plain ones
  bool masters_on_host = false;           // where master_backbone() puts what it reads
  std::optional<double> embedded_guidance = {};  // told to a network that has an input for it
  std::filesystem::path scheduler = {};  // config whose noise levels take the place of the folder's own
};

/// What the results of encode() depend on beside the prompts, and what they look like: enough to keep them.
struct TextSource {
  std::map<std::string, std::filesystem::path>
      files;             // read by encode(), by their name in the model's folder
  std::string settings;  // options and the family's own version of encode()
  std::map<std::string, std::vector<int64_t>> shapes;  // of the tensors, without their first dimension
  at::ScalarType dtype = at::kFloat;                   // of the tensors
};

class FlowModel {
 public:
  virtual ~FlowModel() = default;

  /// Where the model's tensors are; what it is given must be there too.
  virtual at::Device device() const { return at::kCPU; }
  /// Of latents and noise. Float64: an analytic model, which computes in float64 whatever its options say,
  /// its parameters' masters too.
  virtual at::ScalarType latent_dtype() const { return at::kFloat; }
  /// Whether the network is told a guidance scale (kGuidanceInput).
  virtual bool has_guidance_input() const { return false; }
  /// Latent shape of one sample of `height` x `width` pixels and `frames` frames. Throws Error (place "")
  /// when the model cannot make such a picture.
  virtual LatentShape latent_shape(int64_t height, int64_t width, int64_t frames) const = 0;
  /// Prompts to conditioning, no gradients. Throws Error for text that is not UTF-8.
  virtual Conditioning encode(const std::vector<std::string>& prompts) const = 0;
  /// No files: what encode() returns may not be kept beyond the process.
  virtual TextSource text_source() const { return {}; }
  /// Frees what encode() alone needs; a later encode() reads it again.
  virtual void release_text_encoders() {}
  /// Noise levels of `steps` steps for pictures of `height` x `width` pixels, as this family's own pipeline
  /// takes them. Throws Error naming the folder's file for a scheduler that is not had here.
  virtual Schedule schedule(int64_t steps, int64_t height, int64_t width) const = 0;
  /// The backbone over `parameters` (names and shapes of specs()), with an adapter or none. The velocity
  /// holds the tensors; gradients flow into those that ask for them.
  virtual Velocity bind(const TensorMap& parameters, const Adapter* adapter) const = 0;
  /// Names and shapes of the backbone's parameters.
  virtual const std::vector<ParameterSpec>& specs() const = 0;
  /// The backbone's tensors in the model's compute dtype (shared, frozen).
  virtual const TensorMap& backbone() const = 0;
  /// The backbone's tensors in latent_dtype(), as masters for full fine-tuning (read again from the folder),
  /// on the device or on the CPU.
  virtual TensorMap master_backbone() const = 0;
  /// Linear layers that a LoRA adapts by default, as suffixes of module names.
  virtual std::vector<std::string> default_lora_targets() const = 0;
  /// The model's class as the ModelSpec standard names it, "stable-diffusion-v3.5-medium".
  virtual std::string architecture() const = 0;
  /// The files that hold the backbone, by name.
  virtual std::vector<std::filesystem::path> backbone_files() const = 0;
  /// Layers that a LoRA file may adapt, and their names in the model's original code.
  virtual LoraNames lora_names() const = 0;
  /// Clean latents [B,C,F,H,W] to frames [B,F,3,H,W] in [0,1], float32 (analytic models: the latents as they
  /// are). Gradients flow into latents that ask for them.
  virtual at::Tensor decode(const at::Tensor& latents_BCFHW) const = 0;
  /// Frames [B,F,3,H,W] in [0,1], of a size that latent_shape() takes, to clean latents: the mean of the
  /// codec's posterior, no gradients. Throws Error for a family that cannot.
  virtual at::Tensor encode_frames(const at::Tensor& frames_BF3HW) const;
  /// What save() copies from the model's own folder: all that is read of it but the backbone's weights.
  virtual std::vector<ModelFile> files() const { return {}; }
  /// Parameters of the backbone as whoever reads save()'s folder gets them, in latent_dtype(): rounded to
  /// `dtype`. What is said of a model that is saved is to be measured on these.
  virtual TensorMap as_saved(const TensorMap& parameters, at::ScalarType dtype) const;
  /// Writes the whole pipeline folder, without paths of this machine: files(), and `parameters` as the
  /// backbone, in `dtype`. Those that are absent are the model's own, as its folder has them.
  virtual void save(const std::filesystem::path& folder, const TensorMap& parameters,
                    at::ScalarType dtype) const = 0;
};

/// Tensors as a file of that dtype gives them back, each in its own dtype, without gradients.
TensorMap rounded(const TensorMap& tensors, at::ScalarType dtype);

/// Modules (names without ".weight") whose weight is a matrix and whose name ends with one of `suffixes`
/// ("attn.to_q" matches "transformer_blocks.3.attn.to_q"). Throws Error at `place` for a suffix that matches
/// none.
std::vector<std::string> linear_modules(const std::vector<ParameterSpec>& specs,
                                        const std::vector<std::string>& suffixes, const std::string& place);

/// The layers among `specs` that a LoRA may adapt: linear ones and convolutions.
std::vector<LoraLayer> lora_layers(const std::vector<ParameterSpec>& specs);

/// Fresh adapter over `modules`: A kaiming-uniform as PEFT's default, B zero, so the start is the base model.
Adapter make_adapter(const std::vector<ParameterSpec>& specs, const std::vector<std::string>& modules,
                     const LoraStrength& strength, uint64_t seed);

}  // namespace thalweg
