#include "pipelines/service/http/message.h"

namespace thalweg::service {
namespace {

const char* type_of(unsigned status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

}  // namespace

std::string Request::header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? "" : found->second;
}

Response json_response(const Json& json, unsigned status) {
  // What a plugin or a file said may not be UTF-8.
  return {.status = status, .body = json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

ApiError::ApiError(unsigned status, std::string code, std::string message, std::string param)
    : status_(status), code_(std::move(code)), message_(std::move(message)), param_(std::move(param)) {}

Response ApiError::response() const {
  auto response = json_response({{"error",
                                  {{"message", message_},
                                   {"type", type_of(status_)},
                                   {"param", param_.empty() ? Json() : Json(param_)},
                                   {"code", code_}}}},
                                status_);
  response.headers = headers;
  return response;
}

}  // namespace thalweg::service
