#include <unistd.h>

#include <algorithm>

#include "engine/core/base64.h"
#include "pipelines/service/api/run_files.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/submit.h"
#include "pipelines/service/api/views.h"
#include "pipelines/service/jobs/beneath.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

constexpr std::chrono::seconds kLook{5};
constexpr uint64_t kMostInline = uint64_t{32} << 20;
constexpr size_t kMostFiles = 1000;

/// A `sample` job, in the lane of those whose clients wait.
Submission submission_of(const Request& request) {
  auto job = object_of(request);
  if (job.value("job", Json("sample")) != "sample")
    throw ApiError(400, "invalid_value",
                   "only a `sample` job is answered here; POST /v1/jobs takes all kinds", "/job");
  job["job"] = "sample";
  return {.job = std::move(job), .lane = Lane::interactive};
}

bool wants_bytes(const Request& request) {
  require_known_query(request, {"response_format"});
  const auto format = request.query.find("response_format");
  if (format == request.query.end() || format->second == "b64_json") return true;
  if (format->second == "url") return false;
  throw ApiError(400, "invalid_value", "must be b64_json or url", "response_format");
}

std::string bytes_of(const std::filesystem::path& folder, const RunFile& file) {
  const auto opened = open_beneath(folder, file.path);
  std::string bytes(opened ? file.bytes : 0, '\0');
  const auto got = opened ? ::pread(opened->get(), bytes.data(), bytes.size(), 0) : 0;
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

/// Pictures and clips, the sheet of all left out; those that are too much for one answer by their address
/// alone.
Json samples(Service& service, const std::string& id, bool in_bytes) {
  const auto folder = service.store.run_folder(id);
  Json data = Json::array();
  uint64_t left = kMostInline;
  for (const auto& file : run_files(folder, kMostFiles)) {
    if ((file.type != "image/png" && file.type != "video/mp4") || file.path.starts_with("grid.")) continue;
    Json sample = {
        {"path", file.path}, {"type", file.type}, {"url", "/v1/jobs/" + id + "/files/" + file.path}};
    if (in_bytes && file.bytes <= left) {
      left -= file.bytes;
      sample["b64_json"] = encode_base64(bytes_of(folder, file));
    }
    data.push_back(std::move(sample));
  }
  return data;
}

[[noreturn]] void refuse(const JobRow& row) {
  const auto error = row.error.is_object() ? row.error : Json::object();
  const auto code = error.value("code", name_of(row.state));
  const auto param = error.value("param", Json());
  throw ApiError(code == "invalid_job" ? 400 : 503, code,
                 error.value("message", "the job is " + name_of(row.state)),
                 param.is_string() ? param.get<std::string>() : "");
}

awaitable<Response> sample(Service& service, Request& request) {
  const bool in_bytes = wants_bytes(request);
  auto row = co_await submit(service, request, submission_of(request));
  const auto id = row.id;
  while (row.state == State::queued || row.state == State::running) {
    co_await service.store.bell().wait(id, kLook);
    row = service.store.job(id);
  }
  if (row.state != State::succeeded) refuse(row);
  co_return json_response({{"object", "sample"},
                           {"created", row.created_at},
                           {"job", id},
                           {"data", samples(service, id, in_bytes)},
                           {"result", service.store.run_result(id)}});
}

}  // namespace

void add_sample_routes(Router& router, Service& service) {
  router.add(
      {.method = "POST",
       .pattern = "/v1/sample",
       .summary =
           "Draw or steer, and answer with the pictures: beside the jobs that wait, one after the other",
       .handler = [&service](Request& request) { return sample(service, request); },
       .body = Body::json,
       .request_schema = "JobSubmission",
       .response_schema = "Sample",
       .query = {{"response_format", "b64_json (default), or url"}}});
}

}  // namespace thalweg::service
