#include "pipelines/builtin.h"

#include <functional>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/core/schema_definitions.h"
#include "engine/models/mixture/mixture_model.h"
#include "engine/models/sd3/sd3_model.h"
#include "engine/models/sd3/sd3_size.h"
#include "engine/weights/folder.h"
#include "pipelines/align/align_job.h"
#include "pipelines/align/method.h"
#include "pipelines/evaluate.h"
#include "pipelines/pretrain.h"
#include "pipelines/sample.h"
#include "pipelines/score.h"
#include "pipelines/steering/methods.h"
#include "samplers/dpm_solver.h"
#include "samplers/heun.h"
#include "samplers/kernels/cps.h"
#include "samplers/kernels/dance_sde.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/kernels/memoryless.h"
#include "samplers/kernels/ode.h"

namespace thalweg {
namespace {

struct JobRow {
  const char* name;
  const char* doc;
  std::function<std::unique_ptr<Job>()> make;
};

struct FamilyRow {
  const char* class_name;
  std::function<std::unique_ptr<FlowModel>(const std::filesystem::path&, const ModelOptions&)> load;
  std::function<LoraNames(const std::filesystem::path&)> lora_names;
  Schedule (*schedule)(const std::filesystem::path&, int64_t steps);
  ModelSize (*size)(const std::filesystem::path&, const ModelOptions&, int64_t height, int64_t width);
};

const std::vector<JobRow>& job_table() {
  static const std::vector<JobRow> table = {
      {"sample", "draw pictures", make_sample_job},
      {"score", "score pictures that are there", make_score_job},
      {"evaluate", "mean rewards of a model on held-out prompts", make_evaluate_job},
      {"align", "align a model with rewards", make_align_job},
      {"pretrain", "train a small model from nothing on a world of pictures", make_pretrain_job},
  };
  return table;
}

const std::vector<FamilyRow>& family_table() {
  static const std::vector<FamilyRow> table = {
      {"StableDiffusion3Pipeline", load_sd3, read_sd3_lora_names, read_sd3_schedule, sd3_size},
      {"GaussianMixturePipeline", load_mixture, read_mixture_lora_names, read_mixture_schedule, mixture_size},
  };
  return table;
}

// The keys that every job has, around those of its kind.
void describe_whole(Fields& f, int64_t& version, std::string& kind, std::vector<std::unique_ptr<Job>>& jobs) {
  f.integer({"version", "version of the job format", true}, version, 1, 1);
  std::vector<Fields::Alternative> alternatives;
  for (const auto& row : job_table()) {
    jobs.push_back(row.make());
    auto* job = jobs.back().get();
    alternatives.push_back({row.name, row.doc, [job](Fields& fields) { job->describe(fields); }});
  }
  f.variant({"job", "what to do", true}, kind, alternatives);
}

struct WholeJob {
  int64_t version = 1;
  std::string kind;
  std::vector<std::unique_ptr<Job>> jobs;

  Fields::Describe describe() {
    return [this](Fields& f) {
      jobs.clear();
      describe_whole(f, version, kind, jobs);
    };
  }
  std::unique_ptr<Job> take() {
    for (size_t i = 0; i < jobs.size(); ++i)
      if (kind == job_table()[i].name) return std::move(jobs[i]);
    throw Error("/job", "is missing: what to do");
  }
};

}  // namespace

const std::vector<MethodRow>& method_table() {
  static const std::vector<MethodRow> table = {
      {"flow_grpo", "Flow-GRPO (arXiv 2505.05470)",
       [](Fields& f, AlignOptions& o) { describe(f, o.flow_grpo); }, check_flow_grpo, make_flow_grpo},
      {"diffusion_nft", "DiffusionNFT (arXiv 2509.16117)",
       [](Fields& f, AlignOptions& o) { describe(f, o.diffusion_nft); }, check_diffusion_nft,
       make_diffusion_nft},
  };
  return table;
}

namespace {

LogProb gaussian_density(const SamplerSection&) {
  return gaussian;
}

LogProb cps_density(const SamplerSection& s) {
  return s.cps_log_prob == "gaussian" ? gaussian : squared_error;
}

}  // namespace

const std::vector<SamplerRow>& sampler_table() {
  using Section = SamplerSection;
  static const std::vector<SamplerRow> table = {
      {"flow_ode", "Euler's method, no noise", describe_flow_ode, [](const Section&) { return ode(); },
       nullptr},
      {"heun", "Heun's method: second order, two network calls a step", describe_flow_ode, nullptr, nullptr,
       sample_heun},
      {"dpmpp_2m", "DPM-Solver++ of second order, multistep: one network call a step", describe_flow_ode,
       nullptr, nullptr, sample_dpmpp_2m},
      {"dpmpp_2s", "DPM-Solver++ of second order, singlestep: two network calls a step", describe_flow_ode,
       nullptr, nullptr, sample_dpmpp_2s},
      {"flow_sde", "Flow-GRPO's stochastic sampler", describe_flow_sde,
       [](const Section& s) { return flow_sde(s.noise.flow_sde); }, gaussian_density},
      {"dance_sde", "DanceGRPO's stochastic sampler: the same diffusion at every noise level",
       describe_dance_sde, [](const Section& s) { return dance_sde(s.noise.dance_sde); }, gaussian_density},
      {"cps", "Flow-CPS: noise is drawn and as much removed, so that few steps leave none", describe_cps,
       [](const Section& s) { return cps(s.noise.cps); }, cps_density},
      {"memoryless", "ancestral sampling: the noising process backwards", describe_memoryless,
       [](const Section& s) { return memoryless(s.noise.memoryless); }, gaussian_density},
  };
  return table;
}

const std::vector<SteeringRow>& steering_table() {
  static const std::vector<SteeringRow> table = {
      best_of_n_row("best_of_n", "the best of N samples, by reward"),
      fk_row("fk",
             "Feynman-Kac steering: particles weighed by the rewards of their clean estimates; exact with "
             "many"),
      svdd_row("svdd", "soft value-based decoding: each step goes on with one of its candidates, by value"),
      das_row("das", "particles that follow the reward's gradient, with the weights that make it exact"),
      guided_smc_row(
          "guided_smc",
          "guidance by the reward's gradient with Jarzynski's weights: exact with many particles and "
          "steps, for samplers that keep the marginals (not cps)"),
      flow_nrg_row("flow_nrg",
                   "Flow-NRG: the gradient of process rewards, by their weights; exact where the reward is a "
                   "soft value (value guidance)"),
      dps_row("dps", "the gradient of the reward of the clean estimate, through the network"),
      mpgd_row("mpgd", "the gradient at the clean estimate, not through the network: cheaper than dps"),
      spsa_row("spsa", "mpgd for rewards without gradients, by differences along random directions"),
      euphonium_row("euphonium", "Euphonium: each step's mean goes up the gradient of a process reward"),
      doob_row("doob",
               "DOIT, Doob's transform by look-ahead: candidates of each step are weighed by their rewards; "
               "no gradient of the reward is needed; strongest with the sampler memoryless"),
  };
  return table;
}

const MethodRow& method_named(const std::string& name) {
  for (const auto& row : method_table())
    if (name == row.name) return row;
  throw Error("/method/name", "knows no \"" + name + "\"");
}

std::unique_ptr<Job> read_job(const Json& json) {
  WholeJob whole;
  read_fields(json, "", whole.describe());
  return whole.take();
}

Json resolved_job(const Json& json) {
  WholeJob whole;
  read_fields(json, "", whole.describe());
  const auto kind = whole.kind;
  auto job = whole.take();
  return write_fields([&](Fields& f) {
    int64_t version = 1;
    std::string tag = kind;
    f.integer({"version", "", true}, version, 1, 1);
    f.variant({"job", "", true}, tag, {{kind, "", [&](Fields& fields) { job->describe(fields); }}});
  });
}

Json job_schema() {
  WholeJob whole;
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "Thalweg job"}};
  schema.update(schema_of_fields(whole.describe()));
  return with_definitions(schema);
}

namespace {

const FamilyRow& family_of(const std::filesystem::path& folder) {
  const auto opened = open_model_folder(folder);
  const auto class_name = opened.index.at("_class_name").get<std::string>();
  std::vector<std::string> known;
  for (const auto& row : family_table()) {
    if (class_name == row.class_name) return row;
    known.emplace_back(row.class_name);
  }
  throw Error((folder / "model_index.json").string(), "_class_name \"" + class_name +
                                                          "\" is not a family that can be loaded" +
                                                          suggestion(class_name, known));
}

}  // namespace

std::unique_ptr<FlowModel> load_model(const std::filesystem::path& folder, const ModelOptions& options) {
  return family_of(folder).load(folder, options);
}

LoraNames model_lora_names(const std::filesystem::path& folder) {
  return family_of(folder).lora_names(folder);
}

ModelSize model_size(const ModelSection& model, const SizeSection& size) {
  return family_of(model.path).size(model.path, model.options(), size.height, size.width);
}

Schedule planned_schedule(const ScheduleSection& s, const ModelSection& model, int64_t steps,
                          const SizeSection& size) {
  return schedule_of(
      s, [&](int64_t n) { return family_of(model.path).schedule(model.path, n); }, steps, size);
}

Plan Job::plan(PlanMode) const {
  Plan plan;
  plan.note = "memory and time of this kind of job are not predicted";
  return plan;
}

}  // namespace thalweg
