#include "pipelines/plan/load.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "engine/core/dtypes.h"
#include "engine/models/flow_model.h"

namespace thalweg {
namespace {

constexpr double kFloat = 4.0;

// Shares of the matrix product's speed that a forward, a training step and the VAE reach: fitted to the runs
// of the embedded model in docs/results/plan.md, on one kind of processor.
constexpr double kForwardEfficiency = 0.4, kTrainEfficiency = 0.3, kDecodeEfficiency = 0.5;

double element_bytes(const std::string& dtype) {
  return static_cast<double>(c10::elementSize(dtype_named(dtype)));
}

double elements_of(const ParameterSpec& spec) {
  double n = 1.0;
  for (const auto side : spec.shape) n *= static_cast<double>(side);
  return n;
}

// What drawing holds at the most: the network's and the decoder's own memory, and what gradients keep.
struct DrawBytes {
  double network = 0.0, decode = 0.0, gradient = 0.0;
};

DrawBytes draw_bytes(const JobLoad& load, const DrawLoad& draw, const ModelSize& size) {
  const double compute = element_bytes(load.model.dtype), vae = element_bytes(load.model.vae_dtype);
  const auto& cost = draw.cost;
  // Micro-batches side by side: few samples fill fewer workers.
  const double batches = std::min(static_cast<double>(load.parallel.worker_count(load.device)),
                                  std::ceil(draw.samples / cost.samples));
  const double decoded = std::max(draw.decoded ? cost.returned * cost.samples : 0.0,
                                  draw.reward_decodes ? cost.reward_rows : 0.0);
  const double decoder = std::min(decoded, size.decode_rows) * size.decode_elements * vae +
                         2.0 * decoded * size.frame_elements * kFloat;
  const double kept_decodes = draw.reward_decodes ? cost.kept_reward_rows : 0.0;
  DrawBytes bytes;
  bytes.network = batches * cost.network_rows * size.forward_elements * compute;
  bytes.decode = batches * decoder;
  // As many again wait for their scores, and cross to the process that computes them.
  if (load.scored_elsewhere) bytes.decode += 2.0 * batches * decoded * size.frame_elements * kFloat;
  if (cost.kept_network_rows + kept_decodes > 0.0)
    bytes.gradient =
        batches * (cost.kept_network_rows * size.saved_for_input_elements * compute +
                   kept_decodes * size.decode_saved_elements * vae +
                   (draw.reward_decodes ? decoder : cost.network_rows * size.forward_elements * compute));
  return bytes;
}

// Whether what is trained lies in a memory that is not planned.
bool on_host(const JobLoad& load) {
  return load.offloaded && !load.device.is_cpu();
}

double training_bytes(const JobLoad& load, const ModelSize& size) {
  const double trainable = trainable_parameters(load, size), compute = element_bytes(load.model.dtype);
  const double micro_batches =
      std::max(1.0, load.trained_samples / static_cast<double>(load.parallel.micro_batch));
  const double lanes = std::min(static_cast<double>(load.parallel.lanes), micro_batches);
  const double working = std::min(static_cast<double>(load.parallel.worker_count(load.device)), lanes);
  const double samples =
      std::min(working * static_cast<double>(load.parallel.micro_batch), load.trained_samples);
  const double saved = samples * load.rows_with_gradient * size.saved_elements * compute;
  // Of each role the copy that computes, and the gradient of a micro-batch before it goes.
  if (on_host(load)) return saved + trainable * compute * (working + static_cast<double>(load.roles.size()));
  const double low_precision =
      compute < kFloat ? trainable * compute * (working + static_cast<double>(load.roles.size()) - 1.0) : 0.0;
  // A lane's sum, and for each worker the micro-batch's own sum and the gradient that is added to it.
  const auto gradients = static_cast<double>(load.gradients);
  return saved + low_precision + trainable * kFloat * gradients * (lanes + 2.0 * working);
}

// Asked for in the whole run.
double all_samples(const JobLoad& load, const DrawLoad& draw) {
  const bool each_iteration = load.iterations > 0 && draw.phase != "evaluation";
  return draw.samples * (each_iteration ? static_cast<double>(load.iterations) : 1.0);
}

}  // namespace

DrawLoad draw_load(std::string phase, double samples, DrawSettings settings, int64_t micro_batch) {
  const auto cost = draw_cost(settings, static_cast<int64_t>(samples), micro_batch);
  return {std::move(phase), samples, std::move(settings), cost};
}

void DrawLoad::add_direct_gradients() {
  if (direct_gradients == 0.0) return;
  reward_decodes = true;
  cost.reward_calls += direct_gradients;
  cost.reward_gradients += direct_gradients;
  cost.reward_rows = std::max(cost.reward_rows, cost.samples);
  cost.kept_reward_rows = std::max(cost.kept_reward_rows, cost.samples);
}

void JobLoad::cut(int64_t micro_batch) {
  parallel.micro_batch = micro_batch;
  for (auto& draw : draws) {
    draw.cost = draw_cost(draw.settings, static_cast<int64_t>(draw.samples), micro_batch);
    draw.add_direct_gradients();
  }
}

double trainable_parameters(const JobLoad& load, const ModelSize& size) {
  if (load.iterations == 0) return 0.0;
  double sum = 0.0;
  if (!load.model.has_lora) {
    for (const auto& spec : size.specs)
      if (spec.init != Init::fixed) sum += elements_of(spec);
    return sum;
  }
  const auto& lora = load.model.lora;
  const auto modules = linear_modules(
      size.specs, lora.targets.empty() ? size.default_lora_targets : lora.targets, "/model/lora/targets");
  const auto strength = lora.strength(modules);
  for (const auto& spec : size.specs)
    for (const auto& module : modules)
      if (spec.name == module + ".weight")
        sum += static_cast<double>(strength.rank_of(module)) *
               static_cast<double>(spec.shape[0] + spec.shape[1]);
  return sum;
}

double parameter_sets(const JobLoad& load) {
  double sets = load.best ? 1.0 : 0.0;
  for (const auto& role : load.roles) sets += 1.0 + (role.learns ? 2.0 : 0.0) + (role.averaged ? 1.0 : 0.0);
  return sets;
}

void plan_memory(const JobLoad& load, const ModelSize& size, double program_bytes, Plan& plan) {
  const double compute = element_bytes(load.model.dtype), vae = element_bytes(load.model.vae_dtype);
  const double trainable = trainable_parameters(load, size);
  plan.held.clear();
  plan.transient.clear();
  const auto hold = [&](const std::string& name, double bytes) {
    if (bytes > 0.0) plan.held.push_back({name, bytes});
  };
  // A run on a GPU keeps prompts and pictures with the processor.
  const bool with_processor = load.device.is_cpu();
  hold("program", program_bytes);
  hold(size.backbone.name, size.backbone.parameters * compute);
  hold("VAE", size.vae.parameters * vae);
  for (const auto& role : load.roles) {
    if (on_host(load)) break;
    hold(role.name + ", float32", trainable * kFloat);
    if (role.learns) hold(role.name + "'s moments", trainable * 2.0 * kFloat);
    if (role.averaged) hold(role.name + "'s average", trainable * kFloat);
  }
  hold("teacher", load.teacher ? trainable * (kFloat + compute) : 0.0);
  hold("best checkpoint so far", load.best && !on_host(load) ? trainable * kFloat : 0.0);
  if (with_processor) hold("encoded prompts", load.prompts * size.prompt_elements * compute);
  if (with_processor) hold("latents kept", load.kept_latents * size.latent_elements * kFloat);
  hold("samples of a rollout", load.stored_samples * (load.stored_latents * size.latent_elements * kFloat +
                                                      size.prompt_elements * compute));
  if (with_processor) hold("pictures kept", load.kept_pictures * size.frame_elements * kFloat);

  double encoders = 0.0, largest = 0.0;
  for (const auto& encoder : size.text_encoders) {
    encoders += encoder.parameters * compute;
    largest = std::max(largest, encoder.stored_bytes);
  }
  DrawBytes draw;
  for (const auto& each : load.draws) {
    const auto bytes = draw_bytes(load, each, size);
    draw.network = std::max(draw.network, bytes.network);
    draw.decode = std::max(draw.decode, bytes.decode);
    draw.gradient = std::max(draw.gradient, bytes.gradient);
  }
  plan.transient.push_back({"encode", encoders + largest});
  plan.transient.push_back({"rollout", draw.network});
  plan.transient.push_back({"decode", draw.decode});
  if (draw.gradient > 0.0) plan.transient.push_back({"gradient", draw.gradient});
  if (load.iterations > 0) plan.transient.push_back({"train", training_bytes(load, size)});
  double most = 0.0;
  plan.peak_bytes = 0.0;
  for (const auto& item : plan.transient) most = std::max(most, item.bytes);
  for (const auto& item : plan.held) plan.peak_bytes += item.bytes;
  plan.peak_bytes += most;
}

std::vector<PlanDraw> planned_draws(const JobLoad& load) {
  std::vector<PlanDraw> draws;
  for (const auto& draw : load.draws) {
    const auto& cost = draw.cost;
    const double samples = all_samples(load, draw);
    draws.push_back({draw.phase, samples, samples * cost.network_evaluations,
                     samples * cost.network_gradients, samples * cost.reward_calls,
                     samples * cost.reward_gradients});
  }
  const double forwards = load.forwards_with_gradient + load.forwards_without;
  if (const double trained = static_cast<double>(load.iterations) * load.trained_samples;
      trained > 0.0 && forwards > 0.0)
    draws.push_back(
        {kTraining, trained, trained * forwards, trained * (load.backwards + load.latent_backwards)});
  return draws;
}

void plan_time(const JobLoad& load, const ModelSize& size, double rate, double vae_rate, Plan& plan) {
  const auto workers = static_cast<double>(load.parallel.worker_count(load.device));
  plan.phases.clear();
  const auto spend = [&](const std::string& name, double cpu_s, double threads) {
    if (cpu_s > 0.0) plan.phases.push_back({name, cpu_s / threads, cpu_s});
  };
  const double forward_s = size.forward_flops / (rate * kForwardEfficiency),
               decode_s = size.decode_flops / (vae_rate * kDecodeEfficiency);
  std::map<std::string, double> network;
  double decode = 0.0, gradient = 0.0;
  for (const auto& draw : load.draws) {
    const auto& cost = draw.cost;
    const bool evaluation = draw.phase == "evaluation";
    const double samples = all_samples(load, draw);
    const double decodes =
        (draw.decoded ? cost.returned : 0.0) + (draw.reward_decodes ? cost.reward_calls : 0.0);
    network[draw.phase] += samples * cost.network_evaluations * forward_s;
    (evaluation ? network[draw.phase] : decode) += samples * decodes * decode_s;
    // Weights are frozen: a backward to the latents costs its forward.
    gradient += samples * (cost.network_gradients * forward_s +
                           (draw.reward_decodes ? cost.reward_gradients * decode_s : 0.0));
  }
  spend("encode", load.encoded * size.encode_flops / (rate * kForwardEfficiency), workers);
  for (const char* phase : {"rollout", "network"}) spend(phase, network[phase], workers);
  spend("decode", decode, workers);
  spend("gradient", gradient, workers);
  // A backward of training costs twice its forward.
  const double train =
      static_cast<double>(load.iterations) * load.trained_samples * size.forward_flops *
      (load.forwards_with_gradient + 2.0 * load.backwards + load.forwards_without + load.latent_backwards);
  spend("train", train / (rate * kTrainEfficiency),
        std::min(workers, static_cast<double>(load.parallel.lanes)));
  spend("evaluation", network["evaluation"], workers);
  add_up(load, plan);
}

void add_up(const JobLoad& load, Plan& plan) {
  plan.iteration_s = plan.total_s = plan.total_cpu_s = 0.0;
  for (const auto& phase : plan.phases) {
    plan.total_s += phase.wall_s;
    plan.total_cpu_s += phase.cpu_s;
    const bool once = phase.name == "evaluation" || phase.name == "encode" || phase.name == kLoadAndEncode;
    if (load.iterations > 0 && !once) plan.iteration_s += phase.wall_s / static_cast<double>(load.iterations);
  }
}

}  // namespace thalweg
