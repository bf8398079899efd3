// The scheduler config of a few-step generator, written and read.
#include "engine/models/schedulers/few_step_scheduler.h"

#include <gtest/gtest.h>

#include "engine/core/noise_levels.h"
#include "engine/weights/folder.h"
#include "samplers/schedules/karras.h"
#include "samplers/schedules/shifted.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

Schedule read_back(const fs::path& folder, int64_t steps) {
  const auto scheduler = read_few_step_scheduler(folder / kSchedulerConfig);
  return flow_match_schedule(scheduler.value(), steps, 1024, folder);
}

// diffusers' 4 steps end at 1/1000; stretched to 1/4 they are even.
TEST(FewStepScheduler, SaysEvenStepsByItsLastLevel) {
  const auto levels = shifted_schedule(4, 1.0);
  const auto config = few_step_config(nullptr, levels);
  EXPECT_TRUE(config.own_grid);
  EXPECT_EQ(config.json.at("shift_terminal"), 0.25);
  EXPECT_EQ(config.json.at(kFewSteps), 4);
  auto plain = config.json;
  plain.erase(kFewSteps);
  plain.erase(kFewSigmas);
  const auto grid = flow_match_schedule(parse_flow_match_euler(plain, "x"), 4, 1024, "x");
  EXPECT_LT(largest_difference(grid, levels), 1e-15);
}

TEST(FewStepScheduler, NamesLevelsThatDiffusersHasNoGridFor) {
  for (const auto& levels :
       {shifted_schedule(4, 3.0), shifted_schedule(3, 0.5), karras_schedule(4, 7.0, 0.1)}) {
    const auto config = few_step_config(nullptr, levels);
    EXPECT_FALSE(config.own_grid);
    EXPECT_TRUE(config.json.at("shift_terminal").is_null());  // which would stretch what diffusers is told
    EXPECT_EQ(config.json.at(kFewSigmas).size(), levels.sigmas.size() - 1);
  }
}

TEST(FewStepScheduler, IsReadBackToTheLastBit) {
  for (const double shift : {0.3, 1.0, 3.0, 7.0})
    for (const int64_t steps : {1, 2, 3, 4, 7, 28}) {
      const Scratch scratch;
      const auto levels = shifted_schedule(steps, shift);
      const auto config = few_step_config(nullptr, levels);
      EXPECT_EQ(config.own_grid, shift == 1.0 || steps < 3) << steps << " " << shift;
      write_few_step_scheduler(scratch.folder(), config);
      EXPECT_EQ(read_back(scratch.folder(), steps).sigmas, levels.sigmas);
      EXPECT_FALSE(fs::exists(scratch / kModelIndex));
    }
}

// Of a model the index lists it, and what the network's time is counted by stays.
TEST(FewStepScheduler, TakesThePlaceOfTheModelsOwn) {
  const Scratch scratch;
  write_file(scratch / "model_index.json", R"({"_class_name": "P", "scheduler": ["diffusers", "Heun"]})");
  const Json base = {
      {"_class_name", "Heun"}, {"_diffusers_version", "0.30"}, {"num_train_timesteps", 400}, {"shift", 3.0}};
  write_few_step_scheduler(scratch.folder(), few_step_config(base, shifted_schedule(4, 1.0)));
  const auto index = parse_json_file(scratch / "model_index.json");
  EXPECT_EQ(index.at("scheduler"), Json({"diffusers", kFlowMatchEuler}));
  const auto config = parse_json_file(scratch / kSchedulerConfig);
  EXPECT_EQ(config.at("num_train_timesteps"), 400);
  EXPECT_EQ(config.at("_diffusers_version"), "0.30");
  EXPECT_EQ(read_back(scratch.folder(), 4).sigmas, shifted_schedule(4, 1.0).sigmas);
}

// At other numbers of steps the grid is diffusers' for this config.
TEST(FewStepScheduler, HasItsLevelsAtItsOwnStepsAlone) {
  const auto config = few_step_config(nullptr, shifted_schedule(4, 3.0));
  const auto scheduler = parse_flow_match_euler(config.json, "x");
  auto plain = scheduler;
  plain.few_sigmas.clear();
  EXPECT_EQ(flow_match_schedule(scheduler, 5, 1, "x").sigmas, flow_match_schedule(plain, 5, 1, "x").sigmas);
  EXPECT_NE(flow_match_schedule(scheduler, 4, 1, "x").sigmas, flow_match_schedule(plain, 4, 1, "x").sigmas);
}

TEST(FewStepScheduler, IsNoneWhereNothingSaysSteps) {
  const Scratch scratch;
  EXPECT_FALSE(read_few_step_scheduler(scratch / "nothing.json"));
  for (const char* text : {R"({})", R"({"shift": 3.0})", R"({"invert_sigmas": true, "_class_name": "Heun"})",
                           R"({"_num_inference_steps": null})"}) {
    write_file(scratch / "config.json", text);
    EXPECT_FALSE(read_few_step_scheduler(scratch / "config.json")) << text;
  }
}

TEST(FewStepScheduler, RefusesWhatIsNoWalkFromNoiseToData) {
  const Scratch scratch;
  const std::pair<const char*, const char*> rows[] = {
      {R"([])", "must be a JSON object"},
      {R"({"_num_inference_steps": -4})", "\"_num_inference_steps\" must be a whole number from 1 to 1000"},
      {R"({"_num_inference_steps": 0})", "\"_num_inference_steps\""},
      {R"({"_num_inference_steps": 1001})", "from 1 to 1000, not 1001"},
      {R"({"_num_inference_steps": 2.5})", "\"_num_inference_steps\""},
      {R"({"_num_inference_steps": "4"})", "\"_num_inference_steps\""},
      {R"({"_num_inference_steps": 2, "_class_name": "Heun"})",
       "is read of FlowMatchEulerDiscreteScheduler alone"},
      {R"({"_num_inference_steps": 2, "stochastic_sampling": true})", "\"stochastic_sampling\""},
      {R"({"_sigmas": [1, 0.5]})", "has no meaning without _num_inference_steps"},
      {R"({"_num_inference_steps": 2, "_sigmas": 1})", "\"_sigmas\" must be a list"},
      {R"({"_num_inference_steps": 2, "_sigmas": []})", "\"_sigmas\" must be a list"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1, 0.5, 0.2]})", "must have 2 levels"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1]})", "must have 2 levels"},
      {R"({"_num_inference_steps": 2, "_sigmas": [0.9, 0.5]})", "must begin with 1"},
      {R"({"_num_inference_steps": 3, "_sigmas": [1, 0.5, 0.5]})", "must fall from level to level"},
      {R"({"_num_inference_steps": 3, "_sigmas": [1, 0.4, 0.5]})", "must fall from level to level"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1, 0]})", "_sigmas[1]"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1, -0.5]})", "_sigmas[1]"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1.5, 0.5]})", "_sigmas[0]"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1, null]})", "_sigmas[1]"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1, NaN]})", "config.json"},
      {R"({"_num_inference_steps": 2, "_sigmas": [1, 1e999]})", "config.json"},
  };
  for (const auto& [text, part] : rows) {
    write_file(scratch / "config.json", text);
    EXPECT_ERROR(read_few_step_scheduler(scratch / "config.json"), part);
    EXPECT_ERROR(read_few_step_scheduler(scratch / "config.json"), (scratch / "config.json").string());
  }
}

}  // namespace
}  // namespace thalweg
