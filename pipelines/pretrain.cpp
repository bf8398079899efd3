// The `pretrain` job: from an architecture and a world of pictures or clips to a diffusers folder,
// OUTPUT/model. VAE first, then text encoders and transformer together by conditional flow matching (Lipman
// et al. 2023, arXiv 2210.02747; SD3's logit-normal sigmas, arXiv 2403.03206 section 3.1).
#include <ATen/Parallel.h>

#include <filesystem>

#include "engine/io/checkpoint.h"
#include "pipelines/job.h"
#include "pipelines/pretraining/stages.h"
#include "pipelines/resume.h"

namespace thalweg {
namespace {

class PretrainJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, options_); }
  void check() override {
    make_flow_world(options_);
    make_blueprint(options_, *make_world(options_));
  }
  void check_folder() const override {
    const std::filesystem::path folder = options_.output;
    require_own_checkpoints(folder / "vae", [this] { return autoencoder_identity(options_); });
    require_own_checkpoints(folder, [this] { return pretrain_identity(options_); });
  }
  Json run(const Observer& observer) override {
    at::set_num_threads(static_cast<int>(options_.threads));
    const auto world = make_world(options_), flow_world = make_flow_world(options_);
    const auto blueprint = make_blueprint(options_, *world);
    const auto folder = std::filesystem::path(options_.output) / "model";
    blueprint->write(folder);
    const auto vae = train_autoencoder({options_, *world, *blueprint, folder, observer});
    const auto flow = train_flow({options_, *flow_world, *blueprint, folder, observer});
    if (vae + flow > 0)
      observer.message("warn: " + std::to_string(vae + flow) +
                       " updates were skipped, since their gradient was not finite (events.jsonl)");
    return {{"job", "pretrain"}, {"skipped_updates", {{"vae", vae}, {"flow", flow}}}};
  }
  std::string output() const override { return options_.output; }
  bool resumes() const override { return true; }
  bool goes_on() const override {
    const std::filesystem::path folder = options_.output;
    return !list_checkpoints(folder).empty() || !list_checkpoints(folder / "vae").empty();
  }

 private:
  PretrainOptions options_;
};

}  // namespace

std::unique_ptr<Job> make_pretrain_job() {
  return std::make_unique<PretrainJob>();
}

}  // namespace thalweg
