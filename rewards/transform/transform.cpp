#include "rewards/transform/transform.h"

#include <stdexcept>

#include "engine/core/error.h"
#include "rewards/transform/identity.h"
#include "rewards/transform/log_sigmoid.h"

namespace thalweg {

RewardBatch apply_transform(const TransformOptions& options, const RewardBatch& rewards) {
  if (options.name == "identity") return identity(rewards);
  if (options.name == "log_sigmoid") return log_sigmoid(rewards);
  if (options.name == "affine") return affine(rewards, options.affine);
  throw std::invalid_argument("there is no reward transform \"" + options.name + "\"");
}

void describe(Fields& fields, TransformOptions& options) {
  const auto none = [](Fields&) {};
  fields.variant({"name", "what is done to each dimension of the reward before combining"}, options.name,
                 {{"identity", "the reward as it was scored", none},
                  {"log_sigmoid", "log of the logistic function, for rewards that are logits", none},
                  {"affine", "scale times the reward plus shift, clipped if asked",
                   [&](Fields& f) { describe(f, options.affine); }}});
  if (options.name == "affine" && options.affine.clip && options.affine.low > options.affine.high)
    throw Error(fields.pointer() + "/clip", "low must not be above high");
}

}  // namespace thalweg
