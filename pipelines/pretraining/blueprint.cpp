#include "pipelines/pretraining/blueprint.h"

namespace thalweg {

std::unique_ptr<Blueprint> make_blueprint(const PretrainOptions& options, const World& world) {
  if (options.family == "wan") return make_wan_blueprint(options, world);
  return make_sd3_blueprint(options, world);
}

}  // namespace thalweg
