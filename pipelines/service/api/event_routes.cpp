#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"

#include <charconv>
#include <memory>

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

/// What comes after an event of a job, as of a moment: most clients that listen to a job have read alike.
struct Tail {
  std::string job;
  int64_t after = 0;
  uint64_t rings = 0;
  std::string text;           // the events
  int64_t last = 0;           // the last of them
  bool is_full = false;       // there are more
  bool is_over = false;       // and nothing will follow
  std::string progress = {};  // not kept, so without an id
};

std::shared_ptr<const Tail> read_tail(Service& service, const std::string& id, int64_t after) {
  auto tail = std::make_shared<Tail>(Tail{id, after, service.store.bell().rings(), "", after});
  const auto rows = events_after(service.store.read(), id, after, kBatch);
  for (const auto& row : rows) {
    tail->text += sse(row.type, std::to_string(row.number), event_view(row));
    tail->last = row.number;
  }
  tail->is_full = static_cast<int64_t>(rows.size()) == kBatch;
  tail->is_over = is_over(service.store.job(id).state);
  if (const auto progress = service.supervisor.progress(id); !progress.is_null())
    tail->progress = sse("progress", "", progress);
  return tail;
}

/// Reads the tails of jobs, and keeps the last one.
class Tails {
 public:
  std::shared_ptr<const Tail> of(Service& service, const std::string& id, int64_t after) {
    if (!last_ || last_->job != id || last_->after != after || last_->rings != service.store.bell().rings())
      last_ = read_tail(service, id, after);
    return last_;
  }

 private:
  std::shared_ptr<const Tail> last_;
};

/// From the store alone, so at each client's own pace: nothing is kept for one that is slow.
awaitable<void> stream_events(Service& service, std::shared_ptr<Tails> tails, std::string id, int64_t after,
                              Outlet& outlet) {
  std::string shown;
  for (;;) {
    const auto tail = tails->of(service, id, after);
    const bool is_new = !tail->is_full && tail->progress != shown;
    auto text = is_new ? tail->text + tail->progress : tail->text;
    if (is_new) shown = tail->progress;
    if (tail->is_over && tail->text.empty()) {
      co_await outlet.write(text + "event: done\ndata: [DONE]\n\n");
      co_return;
    }
    after = tail->last;
    if (!text.empty()) {
      co_await outlet.write(text);
      continue;  // something may have happened meanwhile
    }
    const auto rings = service.store.bell().rings();
    co_await service.store.bell().wait(id, kHeartbeat);
    // A client that is gone is found by writing to it.
    if (rings == service.store.bell().rings()) co_await outlet.write(": waiting\n\n");
  }
}

Response stream(Service& service, const std::shared_ptr<Tails>& tails, const Request& request) {
  const auto id = service.store.job(request.arguments.at("id")).id;
  auto last = request.header("last-event-id");
  if (const auto after = request.query.find("after"); last.empty() && after != request.query.end())
    last = after->second;
  const auto number = last.empty() ? 0 : event_number(last, "Last-Event-ID");
  return {.type = "text/event-stream", .stream = [&service, tails, id, number](Outlet& outlet) {
            return stream_events(service, tails, id, number, outlet);
          }};
}

awaitable<Response> events(Service& service, std::shared_ptr<Tails> tails, Request& request) {
  require_known_query(request, {"after", "limit", "stream"});
  const auto wants_stream = request.query.find("stream");
  if ((wants_stream != request.query.end() && wants_stream->second == "true") ||
      request.header("accept").starts_with("text/event-stream"))
    co_return stream(service, tails, request);
  const auto id = service.store.job(request.arguments.at("id")).id;
  const auto after = request.query.find("after");
  const auto before = after == request.query.end() ? 0 : event_number(after->second, "after");
  const auto limit = limit_of(request);
  co_return json_response(list_view<EventRow>(events_before(service.store.read(), id, before, limit + 1),
                                              static_cast<size_t>(limit), event_view));
}

}  // namespace

void add_event_routes(Router& router, Service& service) {
  const auto tails = std::make_shared<Tails>();
  for (const char* base : {"/v1/jobs", "/v1/fine_tuning/jobs"})
    router.add(
        {.method = "GET",
         .pattern = std::string(base) + "/{id}/events",
         .summary =
             "What happened to a job: the newest first, or as a stream of server-sent events, oldest first",
         .handler = [&service, tails](Request& request) { return events(service, tails, request); },
         .response_schema = "EventList",
         .query = {
             {"after", "a list: the events before this one; a stream: those after it"},
             {"limit", "1 to 100"},
             {"stream", "true: as server-sent events; Last-Event-ID goes on where a stream broke off"}}});
}

}  // namespace thalweg::service
