#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"

#include <charconv>

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

constexpr int64_t kBatch = 100;
constexpr std::chrono::seconds kHeartbeat{10};
constexpr std::string_view kEventPrefix = "ftevent-";

/// The number of an id, as SSE and lists have it. Throws ApiError.
int64_t event_number(std::string text, const char* place) {
  if (text.starts_with(kEventPrefix)) text.erase(0, kEventPrefix.size());
  int64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, number);
  if (code != std::errc() || stop != end || number < 0)
    throw ApiError(400, "invalid_value", "must be the id of an event", place);
  return number;
}

std::string sse(const std::string& kind, const std::string& id, const Json& data) {
  return (id.empty() ? "" : "id: " + id + "\n") + "event: " + kind +
         "\ndata: " + data.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
}

/// From the store alone, so at each client's own pace: nothing is kept for one that is slow.
awaitable<void> stream_events(Service& service, std::string id, int64_t after, Outlet& outlet) {
  Json shown_progress;
  for (;;) {
    auto rows = events_after(service.store.read(), id, after, kBatch);
    std::string text;
    for (const auto& row : rows) {
      text += sse(row.type, std::to_string(row.number), event_view(row));
      after = row.number;
    }
    if (static_cast<int64_t>(rows.size()) == kBatch) {
      co_await outlet.write(text);
      continue;
    }
    const bool over = is_over(service.store.job(id).state);
    if (const auto progress = service.supervisor.progress(id);
        progress != shown_progress && !progress.is_null()) {
      shown_progress = progress;
      text += sse("progress", "", progress);
    }
    if (over && rows.empty()) {
      co_await outlet.write(text + "event: done\ndata: [DONE]\n\n");
      co_return;
    }
    if (!text.empty()) co_await outlet.write(text);
    if (over || !text.empty()) continue;  // something may have happened meanwhile
    co_await service.store.bell().wait(id, kHeartbeat);
    // A client that is gone is found by writing to it.
    if (events_after(service.store.read(), id, after, 1).empty() &&
        service.supervisor.progress(id) == shown_progress)
      co_await outlet.write(": waiting\n\n");
  }
}

Response stream(Service& service, const Request& request) {
  const auto id = service.store.job(request.arguments.at("id")).id;
  auto last = request.header("last-event-id");
  if (const auto after = request.query.find("after"); last.empty() && after != request.query.end())
    last = after->second;
  const auto number = last.empty() ? 0 : event_number(last, "Last-Event-ID");
  return {.type = "text/event-stream", .stream = [&service, id, number](Outlet& outlet) {
            return stream_events(service, id, number, outlet);
          }};
}

awaitable<Response> events(Service& service, Request& request) {
  require_known_query(request, {"after", "limit", "stream"});
  const auto wants_stream = request.query.find("stream");
  if ((wants_stream != request.query.end() && wants_stream->second == "true") ||
      request.header("accept").starts_with("text/event-stream"))
    co_return stream(service, request);
  const auto id = service.store.job(request.arguments.at("id")).id;
  const auto after = request.query.find("after");
  const auto before = after == request.query.end() ? 0 : event_number(after->second, "after");
  const auto limit = limit_of(request);
  co_return json_response(list_view<EventRow>(events_before(service.store.read(), id, before, limit + 1),
                                              static_cast<size_t>(limit), event_view));
}

}  // namespace

void add_event_routes(Router& router, Service& service) {
  for (const char* base : {"/v1/jobs", "/v1/fine_tuning/jobs"})
    router.add(
        {.method = "GET",
         .pattern = std::string(base) + "/{id}/events",
         .summary =
             "What happened to a job: the newest first, or as a stream of server-sent events, oldest first",
         .handler = [&service](Request& request) { return events(service, request); },
         .response_schema = "EventList",
         .query = {
             {"after", "a list: the events before this one; a stream: those after it"},
             {"limit", "1 to 100"},
             {"stream", "true: as server-sent events; Last-Event-ID goes on where a stream broke off"}}});
}

}  // namespace thalweg::service
