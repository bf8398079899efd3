// What `pretrain` learns from: captions, and pictures or clips that show them.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "pipelines/pretraining/options.h"

namespace thalweg {

class World {
 public:
  virtual ~World() = default;

  /// Of training sample `index`: never a held-out one.
  virtual std::string caption(int64_t index) const = 0;
  /// Writes it, F * 3 * side * side values in [0,1].
  virtual void draw(int64_t index, float* rgb_F3HW) const = 0;
  /// Many objects in each other's way, for whom a scene has too little in it: an autoencoder.
  virtual void draw_crowded(int64_t index, float* rgb_F3HW) const = 0;
  /// Every word of every caption.
  virtual std::vector<std::string> words() const = 0;
  /// Words of the longest caption.
  virtual int64_t longest_caption() const = 0;
};

/// What the autoencoder learns from: the world as it is. Throws Error at /data or /vae/crowded for what the
/// world has not.
std::unique_ptr<World> make_world(const PretrainOptions& options);
/// What the flow learns from: the same in the shares of /flow/kinds. Throws Error there, too.
std::unique_ptr<World> make_flow_world(const PretrainOptions& options);

/// Training samples [indices.size(),F,3,size,size] in [-1,1]; where `crowded` is set, drawn so.
at::Tensor training_frames(const PretrainOptions& options, const World& world,
                           const std::vector<int64_t>& indices, const std::vector<bool>& crowded = {});

}  // namespace thalweg
