#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

/// Those that a job may name, and why one cannot be used.
awaitable<Json> known_plugins(Service& service) {
  Json question;
  question["folders"] = service.shelf.folders();
  auto found = co_await service.checker.ask("plugins", std::move(question));
  Json data = Json::array();
  for (auto& plugin : found) {
    const bool usable = plugin.value("usable", false);
    const auto name = plugin.value("plugin", "");
    const bool loaded = service.policy.is_loaded(name);
    const bool admitted =
        loaded || ((service.policy.plugins.empty() || service.policy.plugins.contains(name)) &&
                   (name != "python" || service.policy.python_rewards));
    Json view = {{"object", "plugin"}, {"state", usable && admitted ? "READY" : "UNAVAILABLE"}};
    view["reason"] = !usable    ? plugin.value("reason", "")
                     : admitted ? ""
                                : "the operator has not admitted it";
    view["loaded"] = loaded;
    for (const char* own : {"path", "usable", "reason"}) plugin.erase(own);
    view.update(plugin);
    data.push_back(std::move(view));
  }
  co_return data;
}

awaitable<Response> list(Service& service, const Request& request) {
  require_known_query(request, {});
  auto data = co_await known_plugins(service);
  co_return json_response({{"object", "list"}, {"data", data}});
}

std::string text_of(const Json& body, const std::string& key) {
  const auto value = body.value(key, Json());
  if (!value.is_string()) throw ApiError(400, "invalid_value", "must be a text", "/" + key);
  return value;
}

awaitable<Response> load(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto body = object_of(request);
  require_known_keys(body, {"name", "file", "config"});
  const auto name = text_of(body, "name"), file = text_of(body, "file");
  auto known = co_await known_plugins(service);
  for (const auto& plugin : known)
    if (plugin.value("plugin", "") == name)
      throw ApiError(409, "name_taken", "there is a reward of this name: take another, or unload it first",
                     "/name");
  co_await service.shelf.load(name, file, body.value("config", Json::object()));
  known = co_await known_plugins(service);
  for (const auto& plugin : known)
    if (plugin.value("plugin", "") == name) co_return json_response(plugin, 201);
  throw ApiError(503, "storage", "the library is gone again");
}

awaitable<Response> unload(Service& service, const Request& request) {
  require_known_query(request, {});
  const auto& name = request.arguments.at("name");
  service.shelf.unload(name);
  co_return json_response({{"id", name}, {"object", "plugin"}, {"deleted", true}});
}

}  // namespace

void add_plugin_routes(Router& router, Service& service) {
  router.add({.method = "GET",
              .pattern = "/v1/plugins",
              .summary = "Rewards that are installed or loaded, and why one cannot be used",
              .handler = [&service](Request& request) { return list(service, request); },
              .response_schema = "PluginList"});
  router.add({.method = "POST",
              .pattern = "/v1/plugins",
              .summary = "Load a reward: a library that keeps every clause of the contract (operators)",
              .handler = [&service](Request& request) { return load(service, request); },
              .access = Access::admin,
              .body = Body::json,
              .request_schema = "PluginLoad",
              .response_schema = "Plugin"});
  router.add({.method = "DELETE",
              .pattern = "/v1/plugins/{name}",
              .summary = "Unload a reward; jobs that were submitted keep it (operators)",
              .handler = [&service](Request& request) { return unload(service, request); },
              .access = Access::admin,
              .response_schema = "Deleted"});
}

}  // namespace thalweg::service
