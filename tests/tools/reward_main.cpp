// reward PLUGIN.so JOB.json IN.safetensors OUT.safetensors: calls a reward plugin through the host. JOB.json:
// {"config": {...}, "prompts": [...]}; IN: frames [B,F,3,H,W] and, for a gradient, cotangent [B,K]; OUT:
// values [B,K] and, if asked for, gradient. Says why on standard error when a call fails.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdio>
#include <exception>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/weights/safetensors.h"
#include "rewards/reward_model.h"

namespace {

using namespace thalweg;

void run(char** argv) {
  const auto job = parse_json_file(argv[2]);
  const auto tensors = read_safetensors(argv[3]).tensors;
  ScoreInput input;
  input.frames_BF3HW = tensors.at("frames");
  input.prompts = job.at("prompts").get<std::vector<std::string>>();
  RewardModel model(argv[1], job.at("config"), Activation{}, "/rewards/0");
  TensorMap results{{"values", model.score(input)}};
  if (const auto said = model.last_error(); !said.empty()) throw Error("", said);
  if (const auto cotangent = tensors.find("cotangent"); cotangent != tensors.end()) {
    results["gradient"] = model.gradient(input, cotangent->second);
    if (const auto said = model.last_error(); !said.empty()) throw Error("", said);
  }
  write_safetensors(argv[4], results);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "reward PLUGIN.so JOB.json IN.safetensors OUT.safetensors\n");
    return 2;
  }
  try {
    c10::NoGradGuard no_grad;
    run(argv);
    return 0;
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "reward: %s\n", e.what());
    return 1;
  }
}
