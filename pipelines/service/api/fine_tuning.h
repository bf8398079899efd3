// OpenAI's fine-tuning requests as jobs: docs/api.md has the table.
#pragma once

#include <filesystem>

#include "engine/core/json.h"

namespace thalweg::service {

extern const char* const
    kMethodTypes;  ///< api/method_types.json: what OpenAI's types of methods are called here

/// The job that a request stands for: the preset of its model, with what it says in place. Throws ApiError
/// (400) with the JSON pointer for a key that stands for nothing here, or a value that does not fit.
Json job_of_request(const Json& request, const std::filesystem::path& presets);

}  // namespace thalweg::service
