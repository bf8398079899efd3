#include "pipelines/service/api/service.h"
#include "pipelines/service/api/submit.h"
#include "pipelines/service/api/views.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

constexpr int64_t kHighestPriority = 1000;

/// A job file as it is; or {"job": {...}, "metadata", "priority"}.
Submission submission_of(const Request& request) {
  auto body = object_of(request);
  if (!body.contains("job") || !body.at("job").is_object()) return {.job = std::move(body)};
  Submission submission{.job = body.at("job")};
  for (const auto& [key, value] : body.items()) {
    if (key == "job") continue;
    if (key == "metadata") {
      submission.metadata = checked_metadata(value);
    } else if (key == "priority" && value.is_number_integer() &&
               std::abs(value.get<int64_t>()) <= kHighestPriority) {
      submission.priority = value.get<int64_t>();
    } else if (key == "priority") {
      throw ApiError(400, "invalid_value", "must be a whole number from -1000 to 1000; higher runs first",
                     "/priority");
    } else {
      throw ApiError(400, "unknown_key", "known beside the job: metadata, priority", "/" + key);
    }
  }
  return submission;
}

JobFilter filter_of(Service& service, const Request& request) {
  JobFilter filter{.limit = limit_of(request) + 1};
  if (const auto after = request.query.find("after"); after != request.query.end())
    filter.after = service.store.job(after->second).id;
  if (const auto state = request.query.find("status"); state != request.query.end())
    filter.states = {state_of(state->second)};
  for (const auto& [name, value] : request.query)
    if (name.starts_with("metadata[")) filter.metadata.emplace_back(name.substr(9, name.size() - 10), value);
  return filter;
}

using View = std::function<Json(Service&, const JobRow&)>;
using Action = awaitable<JobRow> (Supervisor::*)(const std::string&);

/// List, one, and what may be done with it: alike for both kinds of clients.
void add_common(Router& router, Service& service, const std::string& base, const std::string& schema,
                const View& short_view, const View& full_view) {
  router.add({.method = "GET",
              .pattern = base,
              .summary = "Jobs, the newest first",
              .handler = [&service, short_view](Request& request) -> awaitable<Response> {
                require_known_query(request, {"after", "limit", "status", "metadata[...]"});
                const auto filter = filter_of(service, request);
                co_return json_response(list_view<JobRow>(
                    find_jobs(service.store.read(), filter), static_cast<size_t>(filter.limit - 1),
                    [&](const JobRow& row) { return short_view(service, row); }));
              },
              .response_schema = schema + "List",
              .query = {{"after", "the jobs before this one's id"},
                        {"limit", "1 to 100"},
                        {"status", "of this state"},
                        {"metadata[NAME]", "whose metadata have this value"}}});
  router.add({.method = "GET",
              .pattern = base + "/{id}",
              .summary = "A job",
              .handler = [&service, full_view](Request& request) -> awaitable<Response> {
                require_known_query(request, {});
                co_return json_response(full_view(service, service.store.job(request.arguments.at("id"))));
              },
              .response_schema = schema});
  const std::pair<const char*, std::pair<Action, const char*>> kActions[] = {
      {"cancel", {&Supervisor::cancel, "End a job for good"}},
      {"pause", {&Supervisor::pause, "Keep what a job has, and let it wait"}},
      {"resume", {&Supervisor::resume, "Queue a paused job again; it goes on where it was"}}};
  for (const auto& [name, action] : kActions)
    router.add(
        {.method = "POST",
         .pattern = base + "/{id}/" + name,
         .summary = action.second,
         .handler = [&service, full_view, act = action.first](Request& request) -> awaitable<Response> {
           const auto id = request.arguments.at("id");
           const auto row = co_await (service.supervisor.*act)(id);
           co_return json_response(full_view(service, row));
         },
         .body = Body::json,
         .response_schema = schema});
}

}  // namespace

void add_job_routes(Router& router, Service& service) {
  const auto in_short = [](Service& s, const JobRow& row) { return job_view(s, row, false); };
  const auto in_full = [](Service& s, const JobRow& row) { return job_view(s, row, true); };
  router.add({.method = "POST",
              .pattern = "/v1/jobs",
              .summary = "Submit a job file",
              .handler = [&service](Request& request) -> awaitable<Response> {
                const auto row = co_await submit(service, request, submission_of(request));
                co_return json_response(job_view(service, row, true), 201);
              },
              .body = Body::json,
              .request_schema = "JobSubmission",
              .response_schema = "Job"});
  add_common(router, service, "/v1/jobs", "Job", in_short, in_full);
  add_common(router, service, "/v1/fine_tuning/jobs", "FineTuningJob", fine_tuning_view, fine_tuning_view);
}

}  // namespace thalweg::service
