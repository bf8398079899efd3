#include <unistd.h>

#include <fstream>
#include <sstream>

#include "pipelines/service/api/openapi.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

constexpr State kStates[] = {State::queued,    State::running, State::paused,
                             State::succeeded, State::failed,  State::cancelled};

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// Prometheus' text exposition.
std::string metrics(Service& service) {
  std::ostringstream out;
  out << "# HELP thalweg_jobs Jobs by state.\n# TYPE thalweg_jobs gauge\n";
  for (const auto state : kStates)
    out << "thalweg_jobs{state=\"" << name_of(state) << "\"} " << count_jobs(service.store.read(), state)
        << "\n";
  out << "# HELP thalweg_runs Runs that are under way.\n# TYPE thalweg_runs gauge\nthalweg_runs "
      << service.supervisor.running() << "\n"
      << "# HELP thalweg_workers Runs that may be under way.\n# TYPE thalweg_workers gauge\nthalweg_workers "
      << service.workers << "\n"
      << "# HELP process_resident_memory_bytes Memory of the service.\n# TYPE process_resident_memory_bytes "
         "gauge\n"
      << "process_resident_memory_bytes " << resident_bytes() << "\n";
  return out.str();
}

Json capabilities(Service& service) {
  Json states = Json::array();
  for (const auto state : kStates) states.push_back(name_of(state));
  return {{"object", "capabilities"},
          {"version", service.version},
          {"workers", service.workers},
          {"limits", {{"pending_jobs", service.max_pending}}},
          {"states", states},
          {"cancel_queued", true},
          {"cancel_running", true},
          {"pause", true},
          {"python_rewards", service.policy.python_rewards},
          {"remote_hosts",
           Json(std::vector<std::string>(service.policy.hosts.begin(), service.policy.hosts.end()))}};
}

}  // namespace

void add_operating_routes(Router& router, Service& service) {
  const auto add = [&](const char* pattern, const char* summary, Access access, const char* schema,
                       auto answer) {
    router.add({.method = "GET",
                .pattern = pattern,
                .summary = summary,
                .handler = [answer](Request& request) mutable -> awaitable<Response> {
                  require_known_query(request, {});
                  co_return answer();
                },
                .access = access,
                .response_schema = schema});
  };
  add("/health", "Does the server answer?", Access::open, "Health", [] {
    return json_response({{"status", "ok"}});
  });
  add("/ready", "Does it take jobs? 503 while it takes up what an earlier one left", Access::open, "Health",
      [&service] {
        return service.ready ? json_response({{"status", "ready"}})
                             : json_response({{"status", "starting"}}, 503);
      });
  add("/metrics", "Numbers for Prometheus", Access::key, "", [&service] {
    return Response{.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics(service)};
  });
  add("/v1/capabilities", "What this server does, and its limits", Access::key, "AnyObject",
      [&service] { return json_response(capabilities(service)); });
  add("/openapi.json", "This list, as OpenAPI 3.1", Access::open, "AnyObject",
      [&service, &router, text = std::string()]() mutable {
        if (text.empty())
          text = openapi(router, service.version).dump();  // no one without a key makes it anew
        return Response{.body = text};
      });
}

}  // namespace thalweg::service
