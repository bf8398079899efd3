#include "pipelines/service/http/router.h"

#include <optional>

namespace thalweg::service {
namespace {

using Arguments = std::map<std::string, std::string>;

/// The piece up to the next slash, which `rest` then stands behind.
std::string take_piece(std::string_view& rest) {
  const auto slash = rest.find('/');
  const auto piece = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return std::string(piece);
}

std::optional<Arguments> match(std::string_view pattern, std::string_view path) {
  Arguments found;
  for (;;) {
    if (pattern.empty() && path.empty()) return found;
    if (pattern.empty() || path.empty()) return std::nullopt;
    if (pattern.starts_with("{") && pattern.ends_with("...}") &&
        pattern.find('/') == std::string_view::npos) {
      found[std::string(pattern.substr(1, pattern.size() - 5))] = std::string(path);
      return found;
    }
    const auto wanted = take_piece(pattern), piece = take_piece(path);
    if (wanted.starts_with("{")) {
      if (piece.empty()) return std::nullopt;
      found[wanted.substr(1, wanted.size() - 2)] = piece;
    } else if (wanted != piece) {
      return std::nullopt;
    }
  }
}

}  // namespace

void Router::add(Route route) {
  routes_.push_back(std::move(route));
}

const Route& Router::find(Request& request) const {
  std::string allowed;
  for (const auto& route : routes_) {
    auto arguments =
        match(std::string_view(route.pattern).substr(1), std::string_view(request.path).substr(1));
    if (!arguments) continue;
    if (route.method == request.method || (route.method == "GET" && request.method == "HEAD")) {
      request.arguments = std::move(*arguments);
      return route;
    }
    if (allowed.find(route.method) == std::string::npos)
      allowed += (allowed.empty() ? "" : ", ") + route.method;
  }
  if (allowed.empty())
    throw ApiError(404, "not_found", "no such path: " + request.path + "; GET /openapi.json lists all");
  ApiError error(405, "method_not_allowed", request.method + " is not done here; " + allowed + " is");
  error.headers.emplace_back("Allow", allowed);
  throw error;
}

}  // namespace thalweg::service
