#include "pipelines/cli/job_file.h"

#include "engine/core/error.h"

namespace thalweg::cli {

void apply_setting(Json& job, const std::string& setting) {
  const auto equals = setting.find('=');
  if (equals == std::string::npos || setting.empty() || setting[0] != '/')
    throw Error("--set " + setting, "must read /json/pointer=value");
  const auto pointer = setting.substr(0, equals), text = setting.substr(equals + 1);
  Json value = Json::accept(text) ? parse_json(text, "--set " + setting) : Json(text);
  try {
    job[Json::json_pointer(pointer)] = std::move(value);
  } catch (const nlohmann::json::exception&) {
    throw Error("--set " + setting, "the pointer leads nowhere in this job");
  }
}

Json load_job(const JobArguments& arguments) {
  if (arguments.device != "cpu")
    throw Error("--device", "\"" + arguments.device + "\" is not available in this build; use cpu");
  auto job = parse_json_file(arguments.path, size_t{4} << 20);
  for (const auto& setting : arguments.settings) apply_setting(job, setting);
  if (!arguments.output.empty()) {
    if (!job.is_object()) throw Error(arguments.path, "must be a JSON object");
    job["output"] = arguments.output;
  }
  return job;
}

}  // namespace thalweg::cli
