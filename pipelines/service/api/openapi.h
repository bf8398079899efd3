// OpenAPI 3.1 of the routes as they are.
#pragma once

#include <string>

#include "engine/core/json.h"
#include "pipelines/service/http/router.h"

namespace thalweg::service {

extern const char* const kSchemas;  ///< api/schemas.json: the objects that requests and answers hold

Json openapi(const Router& router, const std::string& version);

}  // namespace thalweg::service
