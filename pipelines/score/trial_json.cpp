#include "pipelines/score/trial_json.h"

#include "engine/core/text.h"

namespace thalweg {
namespace {

Json picture_json(const std::string& name, const std::string* prompt, const TriedRewards& tried,
                  const TriedPicture& picture) {
  Json values = Json::object(), reasons = Json::object();
  for (size_t k = 0; k < tried.names_K.size(); ++k) {
    values[tried.names_K[k]] = picture.values_K[k] ? Json(*picture.values_K[k]) : Json(nullptr);
    if (!picture.values_K[k]) reasons[tried.names_K[k]] = picture.reasons_K[k];
  }
  return {{"file", printable(name, 4096)},
          {"prompt", prompt == nullptr ? Json(nullptr) : Json(*prompt)},
          {"values", values},
          {"not_scored", reasons}};
}

}  // namespace

Json trial_json(const std::vector<PictureFile>& files, const PromptList& prompts, const TriedRewards& tried) {
  Json json = {{"pictures", Json::array()}, {"calls", Json::array()}, {"gradients", Json::array()}};
  for (size_t i = 0; i < files.size(); ++i)
    json["pictures"].push_back(picture_json(
        files[i].name, prompts.prompts.empty() ? nullptr : &prompts.prompts[i], tried, tried.pictures[i]));
  for (const auto& calls : tried.calls)
    json["calls"].push_back({{"reward", calls.reward},
                             {"calls", calls.calls},
                             {"first_s", calls.first_s},
                             {"others_s", calls.others_s}});
  for (const auto& g : tried.gradients)
    json["gradients"].push_back({{"dimension", g.dimension},
                                 {"finite", g.finite},
                                 {"agrees", g.agrees ? Json(*g.agrees) : Json(nullptr)},
                                 {"gradient", g.agrees ? Json(g.slope) : Json(nullptr)},
                                 {"difference", g.agrees ? Json(g.difference) : Json(nullptr)},
                                 {"problem", g.problem}});
  return json;
}

Json reward_json(const RewardInfo& info) {
  const auto names = [](const RewardInputs& inputs) {
    Json list = Json::array();
    for (const auto& [given, name] :
         {std::pair{inputs.frames, "frames"}, std::pair{inputs.latents, "latents"},
          std::pair{inputs.prompts, "prompts"}, std::pair{inputs.metadata, "metadata"},
          std::pair{inputs.reference, "reference"}, std::pair{inputs.mask, "mask"}})
      if (given) list.push_back(name);
    return list;
  };
  return {{"name", info.name},
          {"dimensions", info.dimensions_K},
          {"required_inputs", names(info.required)},
          {"optional_inputs", names(info.optional)},
          {"gradient", info.gradient_of != GradientOf::none},
          {"deterministic", info.deterministic},
          {"compares", info.least_of_group > 0}};
}

}  // namespace thalweg
