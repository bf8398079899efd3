#include "pipelines/service/api/openapi.h"

#include <cctype>

#include "pipelines/service/http/lower_case.h"

namespace thalweg::service {
namespace {

Json reference(const std::string& schema) {
  return {{"$ref", "#/components/schemas/" + schema}};
}

/// "{path...}" is OpenAPI's "{path}".
std::string shown_pattern(std::string pattern) {
  if (const auto dots = pattern.find("..."); dots != std::string::npos) pattern.erase(dots, 3);
  return pattern;
}

/// "get_v1_jobs_id".
std::string operation_id(const Route& route) {
  std::string id = route.method;
  for (const char c : route.pattern) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      id += c;
    } else if (!id.ends_with('_')) {
      id += '_';
    }
  }
  if (id.ends_with('_')) id.pop_back();
  return lower_case(id);
}

Json parameters(const Route& route) {
  Json list = Json::array();
  const auto pattern = shown_pattern(route.pattern);
  for (auto open = pattern.find('{'); open != std::string::npos; open = pattern.find('{', open + 1))
    list.push_back({{"name", pattern.substr(open + 1, pattern.find('}', open) - open - 1)},
                    {"in", "path"},
                    {"required", true},
                    {"schema", {{"type", "string"}}}});
  for (const auto& [name, what] : route.query)
    list.push_back({{"name", name},
                    {"in", "query"},
                    {"required", false},
                    {"description", what},
                    {"schema", {{"type", "string"}}}});
  return list;
}

Json operation(const Route& route) {
  Json op = {{"operationId", operation_id(route)}, {"summary", route.summary}};
  if (auto list = parameters(route); !list.empty()) op["parameters"] = std::move(list);
  if (!route.request_schema.empty())
    op["requestBody"] = {{"required", true},
                         {"content", {{"application/json", {{"schema", reference(route.request_schema)}}}}}};
  if (route.body == Body::form_file)
    op["requestBody"] = {{"required", true},
                         {"content", {{"multipart/form-data", {{"schema", reference("FileForm")}}}}}};
  Json good = {{"description", "done"}};
  if (!route.response_schema.empty())
    good["content"] = {{"application/json", {{"schema", reference(route.response_schema)}}}};
  op["responses"] = {
      {route.method == "POST" ? "2XX" : "200", good},
      {"4XX",
       {{"description", "refused, and why"},
        {"content", {{"application/json", {{"schema", reference("Error")}}}}}}},
      {"503",
       {{"description", "not now"}, {"content", {{"application/json", {{"schema", reference("Error")}}}}}}}};
  if (route.access == Access::open) op["security"] = Json::array();
  return op;
}

}  // namespace

Json openapi(const Router& router, const std::string& version) {
  Json paths = Json::object();
  for (const auto& route : router.routes()) {
    paths[shown_pattern(route.pattern)][lower_case(route.method)] = operation(route);
  }
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "Thalweg"},
            {"version", version},
            {"description", "Alignment jobs over HTTP; docs/api.md explains."}}},
          {"security", Json::array({{{"key", Json::array()}}})},
          {"paths", paths},
          {"components",
           {{"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}},
            {"schemas", parse_json(kSchemas, "schemas.json")}}}};
}

}  // namespace thalweg::service
