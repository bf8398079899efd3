// THE tables of names: job kinds, model families, methods, learners of rewards, ways to aggregate, samplers,
// ways to steer. To add one, add its file and its row here. Each table is declared beside its row, so that
// nothing includes what lists it.
#include <memory>
#include <vector>

#include "engine/models/flux/flux_model.h"
#include "engine/models/flux/flux_size.h"
#include "engine/models/mixture/mixture_model.h"
#include "engine/models/sd3/sd3_model.h"
#include "engine/models/sd3/sd3_size.h"
#include "engine/models/wan/wan_model.h"
#include "engine/models/wan/wan_size.h"
#include "pipelines/jobs.h"
#include "pipelines/learners/learner.h"
#include "pipelines/methods/method.h"
#include "pipelines/models.h"
#include "pipelines/sampler_section.h"
#include "pipelines/steering/steering.h"
#include "pipelines/training/aggregation.h"

namespace thalweg {

using MakeJob = std::unique_ptr<Job>();
MakeJob make_sample_job, make_score_job, make_evaluate_job, make_align_job, make_pretrain_job,
    make_train_reward_job;

const JobTable& job_table() {
  static const JobTable table = {
      {"sample", "draw pictures", make_sample_job},
      {"score", "score pictures that are there", make_score_job},
      {"evaluate", "mean rewards of a model on held-out prompts", make_evaluate_job},
      {"align", "align a model with rewards", make_align_job},
      {"train_reward", "learn a reward from the outcomes of a model's own samples", make_train_reward_job},
      {"pretrain", "train a small model from nothing on a world of pictures", make_pretrain_job},
  };
  return table;
}

const std::vector<FamilyRow>& family_table() {
  static const std::vector<FamilyRow> table = {
      {"StableDiffusion3Pipeline", 256, load_sd3, read_sd3_lora_names, read_sd3_schedule, sd3_size},
      {"FluxPipeline", 512, load_flux, read_flux_lora_names, read_flux_schedule, flux_size},
      {"WanPipeline", 512, load_wan, read_wan_lora_names, read_wan_schedule, wan_size},
      {"GaussianMixturePipeline", 0, load_mixture, read_mixture_lora_names, read_mixture_schedule,
       mixture_size},
  };
  return table;
}

using MakeMethod = std::unique_ptr<Method>();
MakeMethod make_flow_grpo, make_diffusion_nft, make_awm, make_flow_rwr, make_sft, make_flow_dpo, make_dgpo,
    make_crd, make_branch_grpo, make_tempflow_grpo, make_flow_grpo_fast, make_dance_grpo, make_mix_grpo,
    make_grpo_guard, make_flow_dppo, make_mah_dpo, make_tdm, make_tdm_r1, make_euphonium,
    make_guidance_to_policy, make_refl, make_draft, make_adjoint_matching, make_dmd2, make_reward_forcing,
    make_guidance_distill;

const MethodTable& method_table() {
  static const MethodTable table = {
      {"flow_grpo", "Flow-GRPO (arXiv 2505.05470)", make_flow_grpo},
      {"flow_grpo_fast", "Flow-GRPO-Fast: Flow-GRPO on a window of steps", make_flow_grpo_fast},
      {"dance_grpo", "DanceGRPO (arXiv 2505.07818)", make_dance_grpo},
      {"mix_grpo", "MixGRPO (arXiv 2507.21802)", make_mix_grpo},
      {"grpo_guard", "GRPO-Guard (arXiv 2510.22319)", make_grpo_guard},
      {"flow_dppo", "Flow-DPPO (arXiv 2606.11025)", make_flow_dppo},
      {"diffusion_nft", "DiffusionNFT (arXiv 2509.16117)", make_diffusion_nft},
      {"awm", "AWM, Advantage Weighted Matching (arXiv 2509.25050)", make_awm},
      {"flow_rwr", "Flow-RWR, reward-weighted regression (arXiv 2501.13918)", make_flow_rwr},
      {"sft", "supervised flow matching, of the best samples or of pictures with captions", make_sft},
      {"flow_dpo", "Flow-DPO, direct preference optimisation (arXiv 2501.13918)", make_flow_dpo},
      {"mah_dpo", "MAH-DPO, a Flow-DPO for each reward, in a LoRA of its own (arXiv 2510.01167)",
       make_mah_dpo},
      {"dgpo", "DGPO, Direct Group Preference Optimization (arXiv 2510.08425)", make_dgpo},
      {"crd", "CRD, Centered Reward Distillation (arXiv 2603.14128)", make_crd},
      {"branch_grpo", "BranchGRPO (arXiv 2509.06040)", make_branch_grpo},
      {"tempflow_grpo", "TempFlow-GRPO (arXiv 2508.04324)", make_tempflow_grpo},
      {"tdm", "TDM, Trajectory Distribution Matching (arXiv 2503.06674): a generator of few steps", make_tdm},
      {"tdm_r1", "TDM-R1 (arXiv 2603.07700): a generator of few steps, by rewards without gradients",
       make_tdm_r1},
      {"dmd2", "DMD2, distribution matching distillation (arXiv 2405.14867): a generator of few steps",
       make_dmd2},
      {"reward_forcing",
       "Re-DMD of Reward Forcing (arXiv 2512.04678): DMD2, each sample weighed by its reward",
       make_reward_forcing},
      {"guidance_distill", "classifier-free guidance in one call of the network (arXiv 2210.03142, stage 1)",
       make_guidance_distill},
      {"euphonium",
       "Euphonium (arXiv 2602.04928): rollouts that follow a process reward's gradient, trained by two "
       "rewards",
       make_euphonium},
      {"guidance_to_policy",
       "guidance of rollouts by rewards' gradients, distilled into the network (after arXiv 2602.04928)",
       make_guidance_to_policy},
      {"refl", "ReFL (arXiv 2304.05977): a reward's gradient through one random late step", make_refl},
      {"draft", "DRaFT (arXiv 2309.17400), AlignProp: a reward's gradient through the last steps",
       make_draft},
      {"adjoint_matching", "Adjoint Matching (arXiv 2409.08861): the tilted law, by a reward's gradient",
       make_adjoint_matching},
  };
  return table;
}

using MakeLearner = std::unique_ptr<Learner>();
MakeLearner make_latent_process_learner;

const Chosen<Learner>::Table& learner_table() {
  static const Chosen<Learner>::Table table = {
      {"latent_process", "a process reward of noised latents, for the plugin latent_prm",
       make_latent_process_learner},
  };
  return table;
}

using MakeAggregation = std::unique_ptr<Aggregation>();
MakeAggregation make_weighted_sum, make_gdpo, make_correlation, make_hypervolume, make_marble,
    make_gradient_weights, make_advantage_sum;

const Chosen<Aggregation>::Table& aggregation_table() {
  static const Chosen<Aggregation>::Table table = {
      {"weighted_sum", "advantages of the sum of the rewards by their weights", make_weighted_sum},
      {"gdpo", "GDPO (arXiv 2601.05242): each reward is normalised in its groups, then they are summed",
       make_gdpo},
      {"correlation",
       "CMO (arXiv 2603.18528): like gdpo, and in each group the rewards that go with the others count less",
       make_correlation},
      {"hypervolume",
       "weighted_sum, whose updates count more while rollouts reach what none before dominates (2509.11452)",
       make_hypervolume},
      {"marble",
       "MARBLE (arXiv 2605.06507): a gradient for each reward, and the direction that improves all of them",
       make_marble},
      {"gradient_weights",
       "a gradient for each reward; one that goes with the others gets more weight (arXiv 2509.11452)",
       make_gradient_weights},
      {"advantage_sum", "the sum of each reward's own advantages by the weights (MixGRPO)",
       make_advantage_sum},
  };
  return table;
}

using MakeSampler = std::unique_ptr<SamplerKind>();
MakeSampler make_flow_ode_sampler, make_heun_sampler, make_dpmpp_2m_sampler, make_dpmpp_2s_sampler,
    make_unipc_sampler, make_flow_sde_sampler, make_dance_sde_sampler, make_cps_sampler,
    make_memoryless_sampler;

const Chosen<SamplerKind>::Table& sampler_table() {
  static const Chosen<SamplerKind>::Table table = {
      {"flow_ode", "Euler's method, no noise", make_flow_ode_sampler},
      {"heun", "Heun's method: second order, two network calls a step", make_heun_sampler},
      {"dpmpp_2m", "DPM-Solver++ of second order, multistep: one network call a step", make_dpmpp_2m_sampler},
      {"dpmpp_2s", "DPM-Solver++ of second order, singlestep: two network calls a step",
       make_dpmpp_2s_sampler},
      {"unipc", "UniPC of second order, multistep with a corrector: one network call a step",
       make_unipc_sampler},
      {"flow_sde", "Flow-GRPO's stochastic sampler", make_flow_sde_sampler},
      {"dance_sde", "DanceGRPO's stochastic sampler: the same diffusion at every noise level",
       make_dance_sde_sampler},
      {"cps", "Flow-CPS: noise is drawn and as much removed, so that few steps leave none", make_cps_sampler},
      {"memoryless", "ancestral sampling: the noising process backwards", make_memoryless_sampler},
  };
  return table;
}

using MakeSteering = std::unique_ptr<SteeringMethod>();
MakeSteering make_best_of_n_steering, make_fk_steering, make_svdd_steering, make_das_steering,
    make_guided_smc_steering, make_flow_nrg_steering, make_dps_steering, make_mpgd_steering,
    make_spsa_steering, make_euphonium_steering, make_doob_steering, make_reno_steering;

const Chosen<SteeringMethod>::Table& steering_table() {
  static const Chosen<SteeringMethod>::Table table = {
      {"best_of_n", "the best of N samples, by reward", make_best_of_n_steering},
      {"fk",
       "Feynman-Kac steering: particles weighed by the rewards of their clean estimates; exact with "
       "many",
       make_fk_steering},
      {"svdd", "soft value-based decoding: each step goes on with one of its candidates, by value",
       make_svdd_steering},
      {"das", "particles that follow the reward's gradient, with the weights that make it exact",
       make_das_steering},
      {"guided_smc",
       "guidance by the reward's gradient with Jarzynski's weights: exact with many particles and "
       "steps, for samplers that keep the marginals (not cps)",
       make_guided_smc_steering},
      {"flow_nrg",
       "Flow-NRG: the gradient of process rewards, by their weights; exact where the reward is a "
       "soft value (value guidance)",
       make_flow_nrg_steering},
      {"dps", "the gradient of the reward of the clean estimate, through the network", make_dps_steering},
      {"mpgd", "the gradient at the clean estimate, not through the network: cheaper than dps",
       make_mpgd_steering},
      {"spsa", "mpgd for rewards without gradients, by differences along random directions",
       make_spsa_steering},
      {"euphonium", "Euphonium: each step's mean goes up the gradient of a process reward",
       make_euphonium_steering},
      {"doob",
       "DOIT, Doob's transform by look-ahead: candidates of each step are weighed by their rewards; "
       "no gradient of the reward is needed; strongest with the sampler memoryless",
       make_doob_steering},
      {"reno",
       "ReNO (arXiv 2406.04312): the initial noise climbs the gradient of its picture's reward, through all "
       "steps of a sampler without noise; for generators of few steps",
       make_reno_steering},
  };
  return table;
}

}  // namespace thalweg
