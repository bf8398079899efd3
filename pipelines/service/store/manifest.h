// A job's row once more, in its own folder: what `thalweg doctor` makes a damaged store anew from.
#pragma once

#include <filesystem>
#include <optional>

#include "pipelines/service/store/tables.h"

namespace thalweg::service {

/// Replaces manifest.json in the job's folder. The table is what counts: a disk that is full is no error
/// here.
void keep_manifest(const std::filesystem::path& job_folder, const JobRow& row);

/// None where there is none that can be read.
std::optional<JobRow> read_manifest(const std::filesystem::path& job_folder);

}  // namespace thalweg::service
