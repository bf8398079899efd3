#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/path.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"

namespace thalweg::service {

using boost::asio::awaitable;
namespace fs = std::filesystem;

namespace {

Json job_of(const Request& request) {
  auto body = object_of(request);
  if (body.contains("job") && body.at("job").is_object()) return body.at("job");
  return body;
}

/// A place for a job that is not kept: nothing is written there.
Json with_any_output(Json job, Service& service) {
  job["output"] = (service.store.folder() / "jobs" / "none").string();
  return job;
}

awaitable<Response> asked(Service& service, const Request& request, const char* what) {
  require_known_query(request, {});
  auto job = job_of(request);
  job.erase("output");
  check_admission(job, service.policy);
  Json question = {{"job", with_any_output(std::move(job), service)}};
  auto answer = co_await service.checker.ask(what, std::move(question));
  if (answer.is_object()) answer.erase("output");
  co_return json_response(answer);
}

/// Presets of fine-tuning requests: job files without what a request says.
Json models(Service& service) {
  Json data = Json::array();
  std::error_code code;
  std::vector<std::string> names;
  for (fs::directory_iterator entries(service.presets, code); !code && entries != fs::directory_iterator();
       entries.increment(code))
    if (lower_ending(entries->path()) == ".json") names.push_back(entries->path().stem().string());
  std::sort(names.begin(), names.end());
  for (const auto& name : names) {
    try {
      const auto preset = parse_json_file(service.presets / (name + ".json"));
      data.push_back({{"id", name},
                      {"object", "model"},
                      {"created", 0},
                      {"owned_by", "operator"},
                      {"path", preset.at("model").value("path", "")}});
    } catch (const std::exception&) {  // one that is no preset is none
    }
  }
  return {{"object", "list"}, {"data", data}};
}

}  // namespace

void add_question_routes(Router& router, Service& service) {
  router.add({.method = "POST",
              .pattern = "/v1/validate",
              .summary = "Is a job right? Answers it with every default written out",
              .handler = [&service](Request& request) { return asked(service, request, "validate"); },
              .body = Body::json,
              .request_schema = "JobSubmission",
              .response_schema = "AnyObject"});
  router.add({.method = "POST",
              .pattern = "/v1/plan",
              .summary = "What a job will need: memory, time, calls",
              .handler = [&service](Request& request) { return asked(service, request, "plan"); },
              .body = Body::json,
              .request_schema = "JobSubmission",
              .response_schema = "AnyObject"});
  router.add({.method = "GET",
              .pattern = "/v1/schema",
              .summary = "The JSON schema of job files",
              .handler = [&service](Request& request) -> awaitable<Response> {
                require_known_query(request, {});
                co_return json_response(co_await service.checker.ask("schema"));
              },
              .response_schema = "AnyObject"});
  router.add({.method = "GET",
              .pattern = "/v1/models",
              .summary = "Models that fine-tuning requests may name",
              .handler = [&service](Request& request) -> awaitable<Response> {
                require_known_query(request, {});
                co_return json_response(models(service));
              },
              .response_schema = "ModelList"});
}

}  // namespace thalweg::service
