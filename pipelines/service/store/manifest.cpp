#include "pipelines/service/store/manifest.h"

#include "engine/core/error.h"

namespace thalweg::service {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFile = "manifest.json";
constexpr size_t kMostBytes = size_t{16} << 20;

Json json_of(const std::optional<int64_t>& number) {
  return number ? Json(*number) : Json();
}

std::optional<int64_t> number_of(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<int64_t>());
}

}  // namespace

void keep_manifest(const fs::path& job_folder, const JobRow& row) {
  const Json manifest = {{"number", row.number},
                         {"id", row.id},
                         {"state", name_of(row.state)},
                         {"wish", name_of(row.wish)},
                         {"lane", name_of(row.lane)},
                         {"priority", row.priority},
                         {"created_at", row.created_at},
                         {"started_at", json_of(row.started_at)},
                         {"finished_at", json_of(row.finished_at)},
                         {"attempts", row.attempts},
                         {"faults", row.faults},
                         {"process", json_of(row.process)},
                         {"process_start", json_of(row.process_start)},
                         {"job", row.job},
                         {"request", row.request},
                         {"metadata", row.metadata},
                         {"error", row.error}};
  try {
    std::error_code ignored;
    fs::create_directories(job_folder, ignored);
    write_file(job_folder / kFile, manifest.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  } catch (const IoError&) {  // the table has it
  }
}

std::optional<JobRow> read_manifest(const fs::path& job_folder) {
  try {
    const auto json = parse_json_file(job_folder / kFile, kMostBytes);
    return JobRow{.number = json.at("number"),
                  .id = json.at("id"),
                  .state = state_of(json.at("state")),
                  .wish = wish_of(json.at("wish")),
                  .lane = lane_of(json.at("lane")),
                  .priority = json.at("priority"),
                  .created_at = json.at("created_at"),
                  .started_at = number_of(json.at("started_at")),
                  .finished_at = number_of(json.at("finished_at")),
                  .attempts = json.at("attempts"),
                  .faults = json.at("faults"),
                  .job = json.at("job"),
                  .request = json.at("request"),
                  .metadata = json.at("metadata"),
                  .error = json.at("error"),
                  .process = number_of(json.at("process")),
                  .process_start = number_of(json.at("process_start"))};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace thalweg::service
