// From a client's words to a job that is kept.
#pragma once

#include <string>

#include "pipelines/service/api/service.h"

namespace thalweg::service {

struct Submission {
  Json job = {};
  Json request = {};               ///< the fine-tuning request that it came from, or null
  Json metadata = Json::object();  ///< of the client
  int64_t priority = 0;
  Lane lane = Lane::batch;
};

/// Checks a job as far as that needs no model, gives it its folder and keeps it, once for each
/// Idempotency-Key of `request`; what that names already is returned. Throws ApiError: 400 wrong, 403 not
/// allowed, 409 a key that was used for another body, 429 the queue is full.
boost::asio::awaitable<JobRow> submit(Service& service, const Request& request, Submission submission);

/// Checks `metadata` as OpenAI does: at most 16 texts of 512 characters, names of 64. Throws ApiError.
Json checked_metadata(const Json& metadata);

}  // namespace thalweg::service
