// The load of a job, whatever its kind: how many pictures it draws and trains on, and what its roles hold.
#pragma once

#include "engine/models/model_size.h"
#include "pipelines/plan/draw_cost.h"
#include "pipelines/plan/method_count.h"
#include "pipelines/plan/plan.h"
#include "pipelines/sections.h"

namespace thalweg {

/// Samples that are drawn, of one iteration where the job has iterations.
struct DrawLoad {
  std::string phase;     // "rollout", "network" (of a steered rollout) or "evaluation"
  double samples = 0.0;  // asked for
  DrawSettings settings;
  DrawCost cost;
  bool decoded = true;            // in the end
  bool reward_decodes = false;    // in each call of the reward on the way
  double direct_gradients = 0.0;  // of rewards at finished samples, for each of them, by who trains on them
  /// Adds those to the cost.
  void add_direct_gradients();
};
DrawLoad draw_load(std::string phase, double samples, DrawSettings settings, int64_t micro_batch);

inline constexpr double kEightBit = 0.25;  // of a float32 frame, what an evaluation keeps

struct JobLoad {
  ModelSection model;
  SizeSection size;
  ParallelSection parallel;
  at::Device device = at::kCPU;  // whose memory is planned
  std::vector<DrawLoad> draws;
  double prompts = 0.0;           // held at the same time
  double encoded = 0.0;           // in all
  bool scored_elsewhere = false;  // by processes of their own, while the workers draw on
  double kept_pictures = 0.0;     // as float32 frames; see kEightBit
  double kept_latents = 0.0;      // of samples, to be saved in the end
  double stored_samples = 0.0;    // of one rollout, with their conditioning
  double stored_latents = 0.0;    // for each of them
  // Training; iterations 0: none.
  int64_t iterations = 0;
  double trained_samples = 0.0;                                 // of one iteration
  double forwards_with_gradient = 0.0, forwards_without = 0.0;  // for each sample; a guided one is two
  double rows_with_gradient = 1.0;                              // of each sample in one of those
  double backwards = 0.0;                                       // for each sample
  double latent_backwards = 0.0;                                // of those without, to their latents
  int64_t gradients = 1;                                        // of as many losses, held at once
  std::vector<RoleCount> roles;
  bool teacher = false;      // a whole backbone of its own, in float32 and as it computes
  bool best = false;         // the best parameters so far are kept
  bool offloaded = false;    // what is trained is on the host of a GPU
  double checkpoints = 0.0;  // kept on disk
  std::string export_dtype = "float32";

  /// The same load in micro-batches of another size.
  void cut(int64_t micro_batch);
};

/// Trainable parameters: the adapter's, or all.
double trainable_parameters(const JobLoad& load, const ModelSize& size);

/// Sets of trainable parameters in a checkpoint: of all roles, and the best so far.
double parameter_sets(const JobLoad& load);

/// Fills held, transient and peak_bytes; `program_bytes` is what the process holds before it loads anything.
void plan_memory(const JobLoad& load, const ModelSize& size, double program_bytes, Plan& plan);

inline constexpr const char* kTraining = "training";

/// What is drawn in the whole run, and what that asks for. In the end, as phase kTraining, what training asks
/// for beside: evaluations are its own forwards, gradients its backward passes.
std::vector<PlanDraw> planned_draws(const JobLoad& load);

/// Fills iteration_s and totals from the phases.
void add_up(const JobLoad& load, Plan& plan);

/// Fills phases, iteration_s and totals from operation counts and `rate`, FLOP a second of one thread.
void plan_time(const JobLoad& load, const ModelSize& size, double rate, double vae_rate, Plan& plan);

}  // namespace thalweg
