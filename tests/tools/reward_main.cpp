// reward PLUGIN.so JOB.json IN.safetensors OUT.safetensors: calls a reward plugin through the host. JOB.json:
// {"config": {...}, "prompts": [...]}; IN: frames [B,F,3,H,W] and, for a gradient, cotangent [B,K]; OUT:
// values [B,K] and, if asked for, gradient. Says why on standard error when a call fails. "repeat": N in the
// JSON prints the processor's seconds of N more calls of each kind, for benchmarks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdio>
#include <ctime>
#include <exception>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/weights/safetensors.h"
#include "rewards/plugin_reward.h"

namespace {

using namespace thalweg;

// Of a whole call; a sample without a value is NaN in the file.
void refuse(const std::vector<CallFailure>& failures) {
  for (const auto& failure : failures)
    if (failure.dimension < 0 && failure.samples > 0) throw Error("", failure.reason);
}

template <class Call>
Json seconds_of(int64_t repeat, Call&& call) {
  auto seconds = Json::array();
  for (int64_t i = 0; i < repeat; ++i) {
    const auto begin = std::clock();
    call();
    seconds.push_back(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return seconds;
}

void run(char** argv) {
  const auto job = parse_json_file(argv[2]);
  const auto tensors = read_safetensors(argv[3]).tensors;
  ScoreInput input;
  input.frames_BF3HW = tensors.at("frames");
  input.prompts = job.at("prompts").get<std::vector<std::string>>();
  PluginReward model(argv[1], job.at("config"), Activation{}, "/rewards/0");
  const auto scored = model.score(input);
  refuse(scored.failures);
  TensorMap results{{"values", scored.values_BK}};
  const auto repeat = job.value("repeat", int64_t{0});
  Json times{{"score", seconds_of(repeat, [&] { model.score(input); })}};
  if (const auto cotangent = tensors.find("cotangent"); cotangent != tensors.end()) {
    const auto vjp = model.gradient(input, cotangent->second);
    refuse(vjp.failures);
    results["gradient"] = vjp.frames_BF3HW;
    times["gradient"] = seconds_of(repeat, [&] { model.gradient(input, cotangent->second); });
  }
  write_safetensors(argv[4], results);
  if (repeat > 0) std::printf("%s\n", times.dump().c_str());
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
