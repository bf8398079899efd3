#include "pipelines/service/api/fine_tuning.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/core/error.h"
#include "pipelines/service/api/formula.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/submit.h"
#include "pipelines/service/api/views.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

[[noreturn]] void refuse(const std::string& pointer, const std::string& message,
                         const char* code = "invalid_value") {
  throw ApiError(400, code, message, pointer);
}

std::string text_at(const Json& object, const char* key, const std::string& pointer) {
  if (!object.contains(key) || !object.at(key).is_string()) refuse(pointer + "/" + key, "a text is needed");
  return object.at(key).get<std::string>();
}

Json preset(const std::string& model, const std::filesystem::path& presets) {
  const bool is_name = !model.empty() && model.size() <= 64 && model[0] != '.' &&
                       std::all_of(model.begin(), model.end(), [](unsigned char c) {
                         return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
                       });
  const auto path = presets / (model + ".json");
  if (!is_name || !std::filesystem::is_regular_file(path))
    refuse("/model", "no model of that name; GET /v1/models lists them", "model_not_found");
  return parse_json_file(path);
}

/// OpenAI's names of hyperparameters, and where they stand in a job; all others are the method's own.
std::string place_of(const std::string& name) {
  if (name == "n_epochs") return "/iterations";
  if (name == "batch_size") return "/method/prompts_per_iteration";
  if (name == "learning_rate") return "/optimizer/learning_rate";
  if (name == "beta") return "/method/beta";
  return "/method/" + name;
}

void take_hyperparameters(Json& job, const Json& given, const std::string& pointer) {
  if (!given.is_object()) refuse(pointer, "must be an object");
  for (const auto& [name, value] : given.items()) {
    if (value == "auto" || value.is_null()) continue;  // the preset's
    if (name == "learning_rate_multiplier") {
      const Json::json_pointer rate("/optimizer/learning_rate");
      if (!value.is_number() || !job.contains(rate))
        refuse(pointer + "/" + name, "the preset has no rate to multiply");
      job[rate] = job.at(rate).get<double>() * value.get<double>();
    } else {
      job[Json::json_pointer(place_of(name))] = value;
    }
  }
}

/// One grader is one reward of a job, under its own names.
Json reward_of(const Json& grader, double weight, const std::string& pointer) {
  if (text_at(grader, "type", pointer) != "thalweg")
    refuse(pointer + "/type",
           "must be \"thalweg\" (a reward as job files have them), or \"multi\" of several",
           "unknown_grader");
  Json reward = grader;
  reward.erase("type");
  reward.erase("name");
  if (weight != 1.0) reward["weight"] = weight * reward.value("weight", 1.0);
  return reward;
}

Json rewards_of(const Json& grader, const std::string& pointer) {
  if (!grader.is_object()) refuse(pointer, "must be an object");
  if (grader.value("type", "") != "multi") return Json::array({reward_of(grader, 1.0, pointer)});
  if (!grader.contains("graders") || !grader.at("graders").is_object())
    refuse(pointer + "/graders", "an object is needed");
  const auto weights =
      linear_weights(text_at(grader, "calculate_output", pointer), pointer + "/calculate_output");
  Json rewards = Json::array();
  for (const auto& [name, inner] : grader.at("graders").items()) {
    const auto found = std::find_if(weights.begin(), weights.end(),
                                    [&name = name](const auto& w) { return w.first == name; });
    rewards.push_back(
        reward_of(inner, found == weights.end() ? 0.0 : found->second, pointer + "/graders/" + name));
  }
  for (const auto& [name, weight] : weights)
    if (!grader.at("graders").contains(name))
      refuse(pointer + "/calculate_output", "there is no grader \"" + name + "\"");
  return rewards;
}

void take_method(Json& job, const Json& method) {
  if (!method.is_object()) refuse("/method", "must be an object");
  const auto type = text_at(method, "type", "/method");
  const bool keeps = type == "reinforcement" && job.contains("method");
  const auto name = parse_json(kMethodTypes, "method_types.json").value(type, type);
  // Settings of one method mean nothing to another.
  if (!keeps && job.value("method", Json::object()).value("name", "") != name)
    job["method"] = {{"name", name}};
  for (const auto& [key, value] : method.items()) {
    if (key == "type") continue;
    if (key != type)
      refuse("/method/" + key, "the method's own settings stand under \"" + type + "\"", "unknown_key");
    for (const auto& [inner, setting] : value.items()) {
      const auto pointer = "/method/" + type + "/" + inner;
      if (inner == "hyperparameters") {
        take_hyperparameters(job, setting, pointer);
      } else if (inner == "grader") {
        job["rewards"] = rewards_of(setting, pointer);
      } else {
        refuse(pointer, "known here: hyperparameters, grader", "unknown_key");
      }
    }
  }
}

}  // namespace

Json job_of_request(const Json& request, const std::filesystem::path& presets) {
  auto job = preset(text_at(request, "model", ""), presets);
  if (request.contains("method") && !request.at("method").is_null()) take_method(job, request.at("method"));
  for (const auto& [key, value] : request.items()) {
    if (key == "model" || key == "method" || key == "metadata" || value.is_null()) continue;
    if (key == "training_file") {
      job[Json::json_pointer("/prompts/train")] = text_at(request, "training_file", "");
    } else if (key == "validation_file") {
      job[Json::json_pointer("/prompts/select")] = text_at(request, "validation_file", "");
    } else if (key == "hyperparameters") {
      take_hyperparameters(job, value, "/hyperparameters");
    } else if (key == "seed") {
      job["seed"] = value;
    } else if (key != "suffix") {
      refuse(
          "/" + key,
          "stands for nothing here; known: model, training_file, validation_file, method, hyperparameters, "
          "seed, suffix, metadata",
          "unknown_key");
    }
  }
  return job;
}

void add_fine_tuning_routes(Router& router, Service& service) {
  router.add({.method = "POST",
              .pattern = "/v1/fine_tuning/jobs",
              .summary = "Submit a job as OpenAI's fine-tuning requests say it",
              .handler = [&service](Request& request) -> awaitable<Response> {
                auto body = object_of(request);
                Submission submission{.job = job_of_request(body, service.presets),
                                      .metadata = checked_metadata(body.value("metadata", Json()))};
                submission.request = std::move(body);
                const auto row = co_await submit(service, request, std::move(submission));
                co_return json_response(fine_tuning_view(service, row));
              },
              .body = Body::json,
              .request_schema = "FineTuningRequest",
              .response_schema = "FineTuningJob"});
}

}  // namespace thalweg::service
