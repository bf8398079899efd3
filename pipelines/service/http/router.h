// THE table of routes: what is asked where, by whom, and what answers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipelines/service/http/message.h"

namespace thalweg::service {

/// Who may ask: all; who has a key; who has an operator's key.
enum class Access { open, key, admin };

/// What a request's body may be.
enum class Body { none, json, form_file };

struct Route {
  using Handler = std::function<boost::asio::awaitable<Response>(Request&)>;
  std::string method = {};   ///< GET, POST, DELETE
  std::string pattern = {};  ///< "/v1/jobs/{id}/events"; {path...} takes all that is left
  std::string summary = {};  ///< for people, and OpenAPI
  Handler handler = {};
  Access access = Access::key;
  Body body = Body::none;
  std::string request_schema = {};                              ///< name among OpenAPI's components
  std::string response_schema = {};                             ///< likewise; empty: something else than JSON
  std::vector<std::pair<std::string, std::string>> query = {};  ///< what may be asked for: name, what it does
};

class Router {
 public:
  void add(Route route);

  /// The route of a request, its arguments filled in. Throws ApiError: 404 for no such path, 405 for no such
  /// verb.
  const Route& find(Request& request) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace thalweg::service
