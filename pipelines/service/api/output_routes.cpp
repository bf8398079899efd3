#include <sys/stat.h>
#include <unistd.h>

#include "pipelines/service/api/run_files.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"
#include "pipelines/service/jobs/beneath.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

constexpr size_t kMostFiles = 10'000;
constexpr int64_t kMostRows = 10'000, kLastEvents = 2000, kLogTail = 64 << 10;

/// Rows of metrics from the store: every `stride`-th of those after `since_step`, evaluations all.
Json metrics(Service& service, const Request& request) {
  require_known_query(request, {"since_step", "stride", "kind"});
  const auto id = service.store.job(request.arguments.at("id")).id;
  const auto since = number_of(request, "since_step", -1),
             stride = std::max<int64_t>(1, number_of(request, "stride", 1));
  const auto kind = request.query.find("kind");
  Json rows = Json::array();
  int64_t after = 0, last_step = -1;
  for (auto events = events_after(service.store.read(), id, after, 1000); !events.empty();
       events = events_after(service.store.read(), id, after, 1000)) {
    for (const auto& event : events) {
      after = event.number;
      if (event.type != "metrics" || static_cast<int64_t>(rows.size()) >= kMostRows) continue;
      const auto step = event.data.value("step", int64_t{-1});
      const auto of_kind = event.data.value("kind", "");
      if (step <= since || (kind != request.query.end() && kind->second != of_kind)) continue;
      if (of_kind == "train" && step % stride != 0) continue;
      last_step = std::max(last_step, step);
      rows.push_back(event.data);
    }
  }
  return {{"object", "list"}, {"data", rows}, {"last_step", last_step < 0 ? Json() : Json(last_step)}};
}

/// The metrics of an evaluation, by names that OpenAI's clients show.
Json checkpoint_metrics(const std::vector<EventRow>& events, int64_t step) {
  Json values = {{"step", step}};
  for (const auto& event : events)
    if (event.type == "metrics" && event.data.value("step", int64_t{-1}) == step)
      for (const auto& [name, value] : event.data.items())
        if (value.is_number() && !values.contains(name)) values[name] = value;
  return values;
}

Json checkpoint_view(const JobRow& job, const std::vector<EventRow>& events,
                     const RunCheckpoint& checkpoint) {
  const auto& id = job.id;
  Json files = Json::array();
  for (auto file : checkpoint.files) {
    file["url"] = "/v1/jobs/" + id + "/files/" + file.at("path").get<std::string>();
    files.push_back(std::move(file));
  }
  return {{"id", "ftckpt-" + id.substr(id.find('-') + 1) + "-" + std::to_string(checkpoint.step)},
          {"object", "fine_tuning.job.checkpoint"},
          {"created_at", job.created_at},
          {"fine_tuned_model_checkpoint", id + "/checkpoint-" + std::to_string(checkpoint.step)},
          {"fine_tuning_job_id", id},
          {"step_number", checkpoint.step},
          {"metrics", checkpoint_metrics(events, checkpoint.step)},
          {"files", files}};
}

Json checkpoints(Service& service, const Request& request) {
  require_known_query(request, {"after", "limit"});
  const auto job = service.store.job(request.arguments.at("id"));
  const auto limit = limit_of(request);
  auto rows = run_checkpoints(service.store.run_folder(job.id));
  if (const auto after = request.query.find("after"); after != request.query.end()) {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const auto& row) {
      return after->second.ends_with("-" + std::to_string(row.step));
    });
    rows.erase(rows.begin(), found == rows.end() ? found : found + 1);
  }
  const auto events = events_before(service.store.read(), job.id, 0, kLastEvents);
  return list_view<RunCheckpoint>(std::move(rows), static_cast<size_t>(limit),
                                  [&](const auto& row) { return checkpoint_view(job, events, row); });
}

Json files(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto id = service.store.job(request.arguments.at("id")).id;
  Json data = Json::array();
  for (const auto& file : run_files(service.store.run_folder(id), kMostFiles))
    data.push_back({{"path", file.path},
                    {"bytes", file.bytes},
                    {"type", file.type},
                    {"url", "/v1/jobs/" + id + "/files/" + file.path}});
  return {{"object", "list"}, {"data", data}};
}

Response file(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto id = service.store.job(request.arguments.at("id")).id;
  const auto& path = request.arguments.at("path");
  auto opened = open_beneath(service.store.run_folder(id), path);
  if (!opened) throw ApiError(404, "no_such_file", "this run has no file \"" + path + "\"", "path");
  Response response{.type = content_type(path), .file = std::move(opened)};
  // A report's own scripts may run, and reach nothing of this server.
  if (response.type.starts_with("text/html"))
    response.headers.emplace_back(
        "Content-Security-Policy",
        "sandbox allow-scripts; default-src 'none'; img-src data: blob:; media-src data: blob:; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'");
  return response;
}

/// The end of what the run's process wrote to standard error.
Response log(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto id = service.store.job(request.arguments.at("id")).id;
  const auto opened = open_beneath(service.store.job_folder(id), "log.txt");
  std::string text;
  struct stat status {};
  if (opened && ::fstat(opened->get(), &status) == 0) {
    text.resize(static_cast<size_t>(std::min<int64_t>(status.st_size, kLogTail)));
    const auto got =
        ::pread(opened->get(), text.data(), text.size(), status.st_size - static_cast<off_t>(text.size()));
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  }
  return {.type = "text/plain; charset=utf-8", .body = std::move(text)};
}

}  // namespace

void add_output_routes(Router& router, Service& service) {
  const auto add = [&](const std::string& pattern, const char* summary, auto answer,
                       const std::string& schema,
                       std::vector<std::pair<std::string, std::string>> query = {}) {
    router.add({.method = "GET",
                .pattern = pattern,
                .summary = summary,
                .handler = [&service, answer](Request& request) -> awaitable<Response> {
                  if constexpr (std::is_same_v<decltype(answer(service, request)), Json>) {
                    co_return json_response(answer(service, request));
                  } else {
                    co_return answer(service, request);
                  }
                },
                .response_schema = schema,
                .query = std::move(query)});
  };
  add("/v1/jobs/{id}/metrics", "The numbers of a run, a row an iteration", metrics, "MetricsList",
      {{"since_step", "rows after this step"},
       {"stride", "every so many-th training row"},
       {"kind", "train or eval"}});
  for (const std::string base : {"/v1/jobs", "/v1/fine_tuning/jobs"})
    add(base + "/{id}/checkpoints", "What a run could go on from, the newest first", checkpoints,
        "CheckpointList", {{"after", "those before this one"}, {"limit", "1 to 100"}});
  add("/v1/jobs/{id}/files", "The files of a run: pictures, clips, report, weights", files, "RunFileList");
  add("/v1/jobs/{id}/files/{path...}", "A file of a run, or a range of it", file, "");
  add("/v1/jobs/{id}/log", "The end of a run's log", log, "");
}

}  // namespace thalweg::service
