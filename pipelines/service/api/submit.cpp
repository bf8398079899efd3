#include "pipelines/service/api/submit.h"

#include <memory>

#include "engine/core/sha256.h"
#include "pipelines/service/jobs/inputs.h"
#include "pipelines/service/store/manifest.h"
#include "pipelines/service/store/scratch.h"

namespace thalweg::service {
namespace {

constexpr size_t kMostMetadata = 16, kLongestName = 64, kLongestValue = 512, kLongestKey = 255;

std::string idempotency_key(const Request& request) {
  auto key = request.header("idempotency-key");
  if (key.size() > kLongestKey)
    throw ApiError(400, "invalid_value", "may have at most 255 characters", "Idempotency-Key");
  return key;
}

/// The job that this key already stands for.
std::optional<JobRow> kept(Database& database, const std::string& key, const std::string& body_sha256) {
  if (key.empty()) return std::nullopt;
  const auto found = find_key(database, key);
  if (!found) return std::nullopt;
  if (found->body_sha256 != body_sha256)
    throw ApiError(409, "idempotency_key_in_use", "this key came with another request before",
                   "Idempotency-Key");
  return find_job(database, found->job);
}

/// As it will run. What a refused job leaves is removed.
boost::asio::awaitable<void> check(Service& service, const Json& job, const std::string& id) {
  Scratch folder(service.store.job_folder(id));
  Json question;
  question["job"] = with_inputs(job, service.store, folder.path() / "inputs");
  question["job"]["output"] = service.store.run_folder(id).string();
  co_await service.checker.ask("validate", std::move(question));
  folder.keep();
}

}  // namespace

Json checked_metadata(const Json& metadata) {
  if (metadata.is_null()) return Json::object();
  if (!metadata.is_object() || metadata.size() > kMostMetadata)
    throw ApiError(400, "invalid_value", "must be an object of at most 16 texts", "/metadata");
  for (const auto& [name, value] : metadata.items())
    if (name.size() > kLongestName || !value.is_string() ||
        value.get_ref<const std::string&>().size() > kLongestValue)
      throw ApiError(400, "invalid_value", "names have at most 64 bytes, values are texts of at most 512",
                     "/metadata/" + name);
  return metadata;
}

boost::asio::awaitable<JobRow> submit(Service& service, const Request& request, Submission submission) {
  const auto key = idempotency_key(request);
  const auto body_sha256 = sha256_hex(request.path + "\n" + request.body);
  if (auto known = kept(service.store.read(), key, body_sha256)) co_return *std::move(known);
  if (count_jobs(service.store.read(), State::queued) >= service.max_pending) {
    ApiError full(429, "queue_full",
                  "the queue holds " + std::to_string(service.max_pending) + " jobs; try again later");
    full.headers.emplace_back("Retry-After", "60");
    throw full;
  }
  if (!submission.job.is_object())
    throw ApiError(400, "invalid_value", "a job must be a JSON object", "/job");
  auto& job = submission.job;
  job.erase("output");  // the service's own
  check_admission(job, service.policy);
  const auto row = std::make_shared<JobRow>();
  row->id = new_id("ftjob-");
  co_await check(service, job, row->id);
  row->job = std::move(job);
  row->request = std::move(submission.request);
  row->metadata = std::move(submission.metadata);
  row->priority = submission.priority;
  row->lane = submission.lane;
  row->created_at = now();
  const auto known = std::make_shared<std::optional<JobRow>>();
  const Writer::Work keep = [row, key, body_sha256, known,
                             folder = service.store.job_folder(row->id)](Database& database) {
    *known = kept(database, key, body_sha256);  // another request may have been quicker
    if (*known) return;
    insert_job(database, *row);
    row->number = database.last_number();
    keep_manifest(folder, *row);
    insert_event(database, {.job = row->id,
                            .created_at = row->created_at,
                            .type = "status",
                            .message = "the job was accepted",
                            .data = {{"status", "queued"}}});
    if (!key.empty()) insert_key(database, key, {row->id, body_sha256}, row->created_at);
  };
  co_await service.store.write(keep);
  if (*known) co_return **known;
  service.store.bell().ring(row->id);
  service.supervisor.wake();
  co_return service.store.job(row->id);
}

}  // namespace thalweg::service
