#include "pipelines/cli/answer.h"

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "pipelines/cli/exit_codes.h"
#include "pipelines/cli/job_commands.h"
#include "pipelines/cli/output.h"
#include "pipelines/cli/plugin_list.h"
#include "pipelines/jobs.h"
#include "pipelines/score/trial_json.h"
#include "pipelines/stages/reward_lines.h"

namespace thalweg::cli {
namespace {

/// "samples": lines of a manifest, "name" beside them: what each is called in the answer.
Json tried(const Json& question) {
  const auto specs = reward_specs_in(question, "/rewards");
  std::vector<PictureFile> files;
  PromptList prompts;
  for (const auto& sample : question.at("samples")) {
    const auto& path = sample.at("file_name").get_ref<const std::string&>();
    files.push_back({sample.value("name", path), path});
    if (!sample.contains("prompt")) continue;
    prompts.prompts.push_back(sample.at("prompt"));
    prompts.metadata_json.push_back(sample.dump());
  }
  if (!prompts.prompts.empty() && prompts.prompts.size() != files.size())
    throw Error("/samples", "either all have a \"prompt\" or none");
  Json said = Json::array();
  Observer observer;
  observer.message = [&said](const std::string& line) { said.push_back(line); };
  RewardLines lines(observer);
  auto answer = trial_json(
      files, prompts,
      try_rewards(specs, files, prompts, {.seed = question.value("seed", uint64_t{0}), .log = lines.log()}));
  lines.show();
  answer["messages"] = said;
  return answer;
}

Json ready(const Json& question) {
  const Observer observer;
  RewardLines lines(observer);
  Json list = Json::array();
  for (const auto& info : ready_rewards(reward_specs_in(question, "/rewards"), lines.log()))
    list.push_back(reward_json(info));
  return list;
}

Json answer(const Json& question) {
  if (!question.is_object()) throw Error("/", "must be an object");
  const auto ask = question.value("ask", "");
  if (ask == "schema") return job_schema();
  if (ask == "plugins") return plugins_json(question.value("folders", std::vector<std::filesystem::path>()));
  if (ask == "rewards") return ready(question);
  if (ask == "try") return tried(question);
  const Json job = question.value("job", Json());
  if (ask == "validate") {
    check(job);
    return resolved_job(job);
  }
  if (ask == "plan") return plan_json(planned(job, PlanMode::estimate));
  throw Error("/ask", "must be validate, plan, plugins, rewards, try or schema");
}

Json error(const char* kind, const std::string& place, const std::string& message) {
  return {{"error", {{"kind", kind}, {"place", place}, {"message", message}}}};
}

Json answered(const std::string& line) {
  try {
    return {{"answer", answer(parse_json(line, "question"))}};
  } catch (const IoError& e) {
    return error("machine", e.place(), e.message());
  } catch (const Error& e) {
    return error("user", e.place(), e.message());
  } catch (const std::exception& e) {
    return error("machine", "", std::string("internal error: ") + e.what());
  }
}

}  // namespace

int answer_questions() {
  for (std::string line; std::getline(std::cin, line);)
    print(answered(line).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  return kDone;
}

}  // namespace thalweg::cli
