#include "engine/core/base64.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"
#include "pipelines/service/jobs/inputs.h"
#include "pipelines/service/store/scratch.h"

namespace thalweg::service {

using boost::asio::awaitable;
namespace fs = std::filesystem;

namespace {

constexpr size_t kMostSamples = 256;

/// "rewards" as a job has them, or the one that "reward" is; nothing that a job could not name.
Json rewards_of(const Json& body, const Policy& policy) {
  if (body.contains("reward") == body.contains("rewards"))
    throw ApiError(400, "invalid_value", "give either one \"reward\" or a list of \"rewards\"", "/rewards");
  Json question;
  question["rewards"] = body.contains("reward") ? Json::array({body.at("reward")}) : body.at("rewards");
  check_admission(question, policy);
  return question;
}

/// ".png" of a PNG: what a picture that came as bytes is called by its first ones.
const char* ending_of(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return ".png";
  if (bytes.starts_with("\xff\xd8")) return ".jpg";
  if (bytes.starts_with("GIF8")) return ".gif";
  if (bytes.starts_with("\x1a\x45\xdf\xa3")) return ".webm";
  if (bytes.size() > 8 && bytes.substr(4, 4) == "ftyp") return ".mp4";
  return nullptr;
}

void write_bytes(Json& sample, const std::string& pointer, const fs::path& path) {
  const auto& text = sample.at("b64_json");
  const auto bytes = text.is_string() ? decode_base64(text.get_ref<const std::string&>()) : std::nullopt;
  const auto* ending = bytes ? ending_of(*bytes) : nullptr;
  if (ending == nullptr)
    throw ApiError(400, "invalid_value", "must be a picture or a clip in base64", pointer + "/b64_json");
  fs::create_directories(path.parent_path());
  write_file(path.string() + ending, *bytes);
  sample.erase("b64_json");
  sample["file_name"] = path.string() + ending;
}

/// Lines of a manifest: each a picture (`file_name`: an id, or a path below the root; or its bytes), what it
/// was drawn for, and what else a reward may ask.
Json samples_of(const Json& body, const Policy& policy, const fs::path& folder) {
  const auto samples = body.value("samples", Json());
  if (!samples.is_array() || samples.empty() || samples.size() > kMostSamples)
    throw ApiError(400, "invalid_value", "must be a list of 1 to 256 samples", "/samples");
  Json list = Json::array();
  for (size_t i = 0; i < samples.size(); ++i) {
    auto sample = samples[i];
    const auto pointer = "/samples/" + std::to_string(i);
    if (!sample.is_object() || sample.contains("file_name") == sample.contains("b64_json") ||
        (sample.contains("file_name") && !sample.at("file_name").is_string()))
      throw ApiError(400, "invalid_value", "must be an object with either a \"file_name\" or a \"b64_json\"",
                     pointer);
    if (sample.contains("prompt") && !sample.at("prompt").is_string())
      throw ApiError(400, "invalid_value", "must be a text", pointer + "/prompt");
    if (sample.contains("file_name")) {
      check_text(pointer + "/file_name", sample.at("file_name"), policy);
      if (sample.at("file_name").get_ref<const std::string&>().find("://") != std::string::npos)
        throw ApiError(400, "invalid_value", "a file is named, not fetched", pointer + "/file_name");
    } else {
      write_bytes(sample, pointer, folder / std::to_string(i));
    }
    sample["name"] = std::to_string(i);
    list.push_back(std::move(sample));
  }
  return list;
}

awaitable<Response> validate(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto body = object_of(request);
  require_known_keys(body, {"reward", "rewards"});
  const Scratch folder(service.store.uploads() / new_id("rewards-"));
  auto question = with_inputs(rewards_of(body, service.policy), service.store, folder.path());
  auto data = co_await service.trials.ask("rewards", std::move(question));
  co_return json_response({{"object", "list"}, {"data", data}});
}

awaitable<Response> run(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto body = object_of(request);
  require_known_keys(body, {"reward", "rewards", "samples", "seed"});
  const Scratch folder(service.store.uploads() / new_id("rewards-"));
  auto question = rewards_of(body, service.policy);
  question["samples"] = samples_of(body, service.policy, folder.path());
  if (body.contains("seed")) {
    if (!body.at("seed").is_number_unsigned())
      throw ApiError(400, "invalid_value", "must be a number that is not negative", "/seed");
    question["seed"] = body.at("seed");
  }
  question = with_inputs(question, service.store, folder.path());
  auto answer = co_await service.trials.ask("try", std::move(question));
  Json data = Json::array();
  for (auto& picture : answer.at("pictures"))
    data.push_back(
        {{"object", "reward"}, {"values", picture.at("values")}, {"not_scored", picture.at("not_scored")}});
  co_return json_response({{"object", "list"},
                           {"data", data},
                           {"calls", answer.at("calls")},
                           {"gradients", answer.at("gradients")},
                           {"messages", answer.at("messages")}});
}

}  // namespace

void add_reward_routes(Router& router, Service& service) {
  router.add({.method = "POST",
              .pattern = "/v1/rewards/validate",
              .summary = "Can these rewards be used, with this configuration? What each is, made ready",
              .handler = [&service](Request& request) { return validate(service, request); },
              .body = Body::json,
              .request_schema = "RewardsQuestion",
              .response_schema = "RewardInfoList"});
  router.add({.method = "POST",
              .pattern = "/v1/rewards/run",
              .summary = "Score a few pictures or clips: values, or why there is none, times, gradients",
              .handler = [&service](Request& request) { return run(service, request); },
              .body = Body::json,
              .request_schema = "RewardsTrial",
              .response_schema = "RewardValues"});
}

}  // namespace thalweg::service
