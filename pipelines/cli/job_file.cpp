#include "pipelines/cli/job_file.h"

#include <algorithm>

#include "engine/core/error.h"

namespace thalweg::cli {
namespace {

// Assigning far behind a list's end would fill it with nulls up to there, whatever memory that takes.
bool beyond_list(const Json& job, Json::json_pointer pointer) {
  for (; !pointer.empty(); pointer = pointer.parent_pointer()) {
    const auto parent = pointer.parent_pointer();
    if (!job.contains(parent) || !job.at(parent).is_array() || job.contains(pointer)) continue;
    if (pointer.back() != "-" && pointer.back() != std::to_string(job.at(parent).size())) return true;
  }
  return false;
}

}  // namespace

void apply_setting(Json& job, const std::string& setting) {
  const auto equals = setting.find('=');
  if (equals == std::string::npos || setting.empty() || setting[0] != '/')
    throw Error("--set " + setting, "must read /json/pointer=value");
  if (!is_valid_utf8(setting)) throw Error("--set " + setting, "is not valid UTF-8");
  const auto pointer = setting.substr(0, equals), text = setting.substr(equals + 1);
  if (static_cast<size_t>(std::count(pointer.begin(), pointer.end(), '/')) > kMaxJsonDepth)
    throw Error("--set " + setting, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
  Json value = Json::accept(text) ? parse_json(text, "--set " + setting) : Json(text);
  const Error nowhere("--set " + setting, "the pointer leads nowhere in this job");
  try {
    const Json::json_pointer place(pointer);
    if (beyond_list(job, place)) throw nowhere;
    job[place] = std::move(value);
  } catch (const nlohmann::json::exception&) {
    throw nowhere;
  }
}

Json load_job(const JobArguments& arguments) {
  auto job = parse_json_file(arguments.path, size_t{4} << 20);
  for (const auto& setting : arguments.settings) apply_setting(job, setting);
  if (!arguments.output.empty()) {
    if (!job.is_object()) throw Error(arguments.path, "must be a JSON object");
    if (!is_valid_utf8(arguments.output)) throw Error("--output", "is not valid UTF-8");
    job["output"] = arguments.output;
  }
  if (!arguments.device.empty()) {
    if (!job.is_object()) throw Error(arguments.path, "must be a JSON object");
    if (job.value("device", Json("cpu")) != arguments.device) job["device"] = arguments.device;
  }
  return job;
}

}  // namespace thalweg::cli
