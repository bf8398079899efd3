#include "rewards/hosted/encode.h"

#include <ATen/ops/from_blob.h>

#include <limits>
#include <utility>

#include "rewards/text.h"

namespace thalweg {
namespace {

constexpr size_t kAlignment = 64;

// Members of RewardInputs and ScoreInput by the names on the wire.
struct NamedTensor {
  const char* name;
  at::Tensor ScoreInput::*tensor;
  bool RewardInputs::*wanted;
};
constexpr NamedTensor kTensors[] = {{"frames", &ScoreInput::frames_BF3HW, &RewardInputs::frames},
                                    {"latents", &ScoreInput::latents_BCFHW, &RewardInputs::latents},
                                    {"sigmas", &ScoreInput::sigmas_B, &RewardInputs::latents},
                                    {"reference", &ScoreInput::reference_BF3HW, &RewardInputs::reference},
                                    {"mask", &ScoreInput::mask_BF1HW, &RewardInputs::mask}};

constexpr std::pair<const char*, bool RewardInputs::*> kInputs[] = {
    {"frames", &RewardInputs::frames},   {"latents", &RewardInputs::latents},
    {"prompts", &RewardInputs::prompts}, {"reference", &RewardInputs::reference},
    {"mask", &RewardInputs::mask},       {"metadata", &RewardInputs::metadata}};

constexpr std::pair<const char*, GradientOf> kGradients[] = {{"none", GradientOf::none},
                                                             {"frames", GradientOf::frames},
                                                             {"latents", GradientOf::latents},
                                                             {"both", GradientOf::both}};

Json names_of(const RewardInputs& inputs) {
  auto names = Json::array();
  for (const auto& [name, member] : kInputs)
    if (inputs.*member) names.push_back(name);
  return names;
}

RewardInputs inputs_from(const Json& names) {
  RewardInputs inputs;
  for (const auto& given : names) {
    bool known = false;
    for (const auto& [name, member] : kInputs)
      if (given == name) known = inputs.*member = true;
    if (!known) throw WireBroken("wants an input that is not known: " + given.dump());
  }
  return inputs;
}

// What a foreign process says may be anything.
template <class Read>
auto checked(const char* what, Read&& read) {
  try {
    return read();
  } catch (const Json::exception& e) {
    throw WireBroken(std::string("sent ") + what + " that cannot be read: " + clean_text(e.what(), 300));
  }
}

}  // namespace

Json Layout::place(at::IntArrayRef shape) {
  size_t elements = 1;
  for (const auto size : shape) elements *= static_cast<size_t>(size);
  Json place = {{"offset", bytes_}, {"shape", shape.vec()}};
  bytes_ += (elements * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  return place;
}

Json Layout::place(const NamedTensors& tensors) {
  Json places = Json::object();
  for (const auto& [name, tensor] : tensors) places[name] = place(tensor.sizes());
  return places;
}

at::Tensor tensor_at(const SharedMemory& memory, const Json& place) {
  return checked("a tensor", [&] {
    const auto offset = place.at("offset").get<size_t>();
    const auto shape = place.at("shape").get<std::vector<int64_t>>();
    size_t elements = 1;
    for (const auto size : shape)
      if (size < 0 || __builtin_mul_overflow(elements, static_cast<size_t>(size), &elements))
        throw WireBroken("named a tensor of an impossible shape");
    if (offset > memory.size() || elements > (memory.size() - offset) / sizeof(float))
      throw WireBroken("named a tensor outside of the shared memory");
    return at::from_blob(memory.data() + offset, shape, at::TensorOptions(at::kFloat));
  });
}

Json to_json(const ScoreInput& input) {
  return {{"batch", input.batch()},
          {"prompts", input.prompts},
          {"sample_ids", input.sample_ids},
          {"seeds", input.seeds},
          {"group_ids", input.group_ids},
          {"metadata", input.metadata_json},
          {"step_index", input.step_index},
          {"num_steps", input.num_steps},
          {"fps", input.fps},
          {"phase", static_cast<uint32_t>(input.occasion.phase)},
          {"iteration", input.occasion.iteration},
          {"round", input.occasion.round}};
}

NamedTensors tensors_of(const ScoreInput& input, const RewardInfo& info) {
  NamedTensors tensors;
  for (const auto& [name, tensor, flag] : kTensors)
    if ((info.required.*flag || info.optional.*flag) && (input.*tensor).defined())
      tensors.emplace_back(name, input.*tensor);
  return tensors;
}

ScoreInput input_from(const Json& json, const Json& tensors, const SharedMemory& memory) {
  return checked("a request", [&] {
    ScoreInput input;
    for (const auto& [name, tensor, flag] : kTensors)
      if (tensors.contains(name)) input.*tensor = tensor_at(memory, tensors.at(name));
    json.at("prompts").get_to(input.prompts);
    json.at("sample_ids").get_to(input.sample_ids);
    json.at("seeds").get_to(input.seeds);
    json.at("group_ids").get_to(input.group_ids);
    json.at("metadata").get_to(input.metadata_json);
    json.at("step_index").get_to(input.step_index);
    json.at("num_steps").get_to(input.num_steps);
    json.at("fps").get_to(input.fps);
    input.occasion.phase = static_cast<ScorePhase>(json.at("phase").get<uint32_t>());
    json.at("iteration").get_to(input.occasion.iteration);
    json.at("round").get_to(input.occasion.round);
    return input;
  });
}

Json to_json(const RewardInfo& info) {
  const auto* gradient = "none";
  for (const auto& [name, of] : kGradients)
    if (of == info.gradient_of) gradient = name;
  return {{"name", info.name},
          {"dimensions", info.dimensions_K},
          {"required", names_of(info.required)},
          {"optional", names_of(info.optional)},
          {"gradient_of", gradient},
          {"deterministic", info.deterministic},
          {"least_of_group", info.least_of_group},
          {"compares_frames", info.compares_frames}};
}

RewardInfo info_from(const Json& json) {
  return checked("a description", [&] {
    RewardInfo info;
    info.name = clean_text(json.at("name").get<std::string>().c_str(), 200);
    for (const auto& name : json.at("dimensions"))
      info.dimensions_K.push_back(clean_text(name.get<std::string>().c_str(), 200));
    info.required = inputs_from(json.at("required"));
    info.optional = inputs_from(json.at("optional"));
    for (const auto& [name, of] : kGradients)
      if (json.at("gradient_of") == name) info.gradient_of = of;
    json.at("deterministic").get_to(info.deterministic);
    info.compares_frames = json.value("compares_frames", false);
    info.least_of_group = json.value("least_of_group", int64_t{0});
    if (info.least_of_group < 0 || info.least_of_group == 1 || info.least_of_group > 1000000)
      throw WireBroken("says that it compares groups of " + std::to_string(info.least_of_group));
    return info;
  });
}

Json to_json(const std::vector<CallFailure>& failures) {
  auto list = Json::array();
  for (const auto& f : failures)
    list.push_back({{"reason", f.reason}, {"samples", f.samples}, {"dimension", f.dimension}});
  return list;
}

std::vector<CallFailure> failures_from(const Json& json) {
  return checked("failures", [&] {
    std::vector<CallFailure> failures;
    for (const auto& f : json)
      failures.push_back({clean_text(f.at("reason").get<std::string>().c_str()),
                          f.at("samples").get<int64_t>(), f.value("dimension", int64_t{-1})});
    return failures;
  });
}

Json to_json(const Activation& a) {
  return {{"max_batch", a.max_batch},  {"frames", a.frames}, {"height", a.height},
          {"width", a.width},          {"seed", a.seed},     {"device", a.device.str()},
          {"assets_dir", a.assets_dir}};
}

Activation activation_from(const Json& json) {
  return checked("what it is made ready for", [&] {
    Activation a;
    json.at("max_batch").get_to(a.max_batch);
    json.at("frames").get_to(a.frames);
    json.at("height").get_to(a.height);
    json.at("width").get_to(a.width);
    json.at("seed").get_to(a.seed);
    a.device = at::Device(json.at("device").get<std::string>());
    json.at("assets_dir").get_to(a.assets_dir);
    return a;
  });
}

}  // namespace thalweg
