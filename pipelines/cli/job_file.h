// From the command line to a job's JSON: the file, then --set, --output, --device.
#pragma once

#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg::cli {

struct JobArguments {
  std::string path;
  std::vector<std::string> settings;  // "/json/pointer=value"
  std::string output;
  std::string device;  // empty: as the job says
};

/// Throws Error naming the file, or the --set that does not fit.
Json load_job(const JobArguments& arguments);

/// Replaces or adds the value at a pointer; the value is JSON, or else taken as text.
void apply_setting(Json& job, const std::string& setting);

}  // namespace thalweg::cli
