#include "pipelines/service/api/service.h"
#include "pipelines/service/page/page.h"

namespace thalweg::service {

using boost::asio::awaitable;

namespace {

/// Its own files alone: nothing inline, nothing of elsewhere.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' "
    "blob:; "
    "connect-src 'self'; frame-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace

void add_page_routes(Router& router) {
  const auto add = [&](const char* pattern, const char* summary, const char* type, const char* text) {
    router.add({.method = "GET",
                .pattern = pattern,
                .summary = summary,
                .handler = [type, text](Request&) -> awaitable<Response> {
                  Response response{.type = type, .body = text};
                  response.headers.emplace_back("Content-Security-Policy", kPolicy);
                  co_return response;
                },
                .access = Access::open});
  };
  add("/", "The page to watch jobs", "text/html; charset=utf-8",
      kPage + 1);  // a line end stands before what is embedded
  add("/page.css", "Its style", "text/css; charset=utf-8", kPageStyle + 1);
  add("/chart.js", "Its charts", "text/javascript; charset=utf-8", kChartScript + 1);
  add("/client.js", "How it asks", "text/javascript; charset=utf-8", kClientScript + 1);
  add("/form.js", "Its form for jobs", "text/javascript; charset=utf-8", kFormScript + 1);
  add("/page.js", "Its script", "text/javascript; charset=utf-8", kPageScript + 1);
}

}  // namespace thalweg::service
