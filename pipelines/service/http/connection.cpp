#include "pipelines/service/http/connection.h"

#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "pipelines/service/http/lower_case.h"
#include "pipelines/service/http/target.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr size_t kPiece = size_t{256} << 10, kFirstBytes = 4096;
constexpr std::chrono::seconds kLinger{2};

Request request_of(const http::request<http::empty_body>& head) {
  Request request;
  request.method = std::string(head.method_string());
  for (const auto& field : head)
    request.headers[lower_case(std::string_view(field.name_string().data(), field.name_string().size()))] =
        std::string(field.value());
  auto target = parse_target({head.target().data(), head.target().size()});
  request.path = std::move(target.path);
  request.query = std::move(target.query);
  return request;
}

ApiError too_large(uint64_t limit) {
  return {413, "too_large", "the body may have at most " + std::to_string(limit) + " bytes"};
}

/// What the parser objects to, in the client's words.
std::optional<ApiError> of_parser(const beast::error_code& code, const HttpLimits& limits) {
  if (code == http::error::header_limit || code == http::error::buffer_overflow)
    return ApiError(431, "headers_too_large",
                    "the headers may have at most " + std::to_string(limits.header_bytes) + " bytes");
  if (code == http::error::body_limit) return too_large(limits.file_bytes);
  if (code.category() == make_error_code(http::error::bad_method).category() &&
      code != http::error::end_of_stream && code != http::error::partial_message)
    return ApiError(400, "bad_request", "this is no HTTP request: " + code.message());
  return std::nullopt;
}

}  // namespace

Connection::Connection(Socket socket, bool local, const Router& router, const Gate& gate,
                       const std::filesystem::path& uploads, const HttpLimits& limits)
    : stream_(std::move(socket)),
      local_(local),
      router_(router),
      gate_(gate),
      uploads_(uploads),
      limits_(limits),
      buffer_(limits.header_bytes + kPiece) {}

asio::awaitable<void> Connection::serve() {
  for (bool first = true;; first = false) {
    Head head;
    head.header_limit(limits_.header_bytes);
    head.body_limit(limits_.file_bytes);
    if (!co_await read_head(head, first)) co_return;
    version_ = head.get().version();
    keeps_ = head.get().keep_alive();
    unread_ = !head.is_done();
    Request request;
    Response response;
    try {
      response = co_await answer(head, request);
    } catch (const ApiError& e) {
      response = e.response();
    }
    if (unread_) keeps_ = false;  // what was not read of a body would be taken for the next request
    if (!request.body_file.empty()) {
      std::error_code ignored;
      std::filesystem::remove(request.body_file, ignored);
    }
    co_await send(request, std::move(response));
    if (!keeps_) break;
  }
  beast::error_code ignored;
  stream_.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  if (unread_) co_await linger();
}

/// Closed with bytes unread, the system would take back the answer too.
asio::awaitable<void> Connection::linger() {
  stream_.expires_after(kLinger);
  std::vector<char> piece(kPiece);
  beast::error_code code;
  for (uint64_t most = limits_.json_bytes; !code && most > 0;) {
    const auto got = co_await stream_.async_read_some(asio::buffer(piece),
                                                      asio::redirect_error(asio::use_awaitable, code));
    most -= std::min<uint64_t>(most, got);
  }
}

/// False: the client is gone, or was refused.
asio::awaitable<bool> Connection::read_head(Head& head, bool first) {
  beast::error_code code;
  if (!first && buffer_.size() == 0) {
    stream_.expires_after(limits_.idle);
    const auto got = co_await stream_.async_read_some(buffer_.prepare(kFirstBytes),
                                                      asio::redirect_error(asio::use_awaitable, code));
    if (code) co_return false;
    buffer_.commit(got);
  }
  stream_.expires_after(limits_.head);
  co_await http::async_read_header(stream_, buffer_, head, asio::redirect_error(asio::use_awaitable, code));
  if (!code) co_return true;
  if (const auto error = of_parser(code, limits_)) {
    keeps_ = false;
    const Request unread;
    co_await send(unread, error->response());
  }
  co_return false;
}

asio::awaitable<Response> Connection::answer(Head& head, Request& request) {
  request = request_of(head.get());
  const auto& route = router_.find(request);
  gate_.check(request, route.access, local_);
  try {
    co_await read_body(head, route, request);
    co_return co_await route.handler(request);
  } catch (const ApiError&) {
    throw;
  } catch (const IoError& e) {
    throw ApiError(503, "storage", e.message());  // its place is no client's affair
  } catch (const Error& e) {
    throw ApiError(400, "invalid_value", e.message(), e.place());
  } catch (const std::exception& e) {
    throw ApiError(500, "internal", std::string("internal error: ") + e.what());
  }
}

asio::awaitable<void> Connection::read_body(Head& head, const Route& route, Request& request) {
  if (route.body == Body::none) {
    const auto length = head.content_length();
    if (head.chunked() || (length && *length > 0 && *length > limits_.json_bytes))
      throw too_large(limits_.json_bytes);
    if (!length || *length == 0) co_return;
  }
  if (route.body == Body::json &&
      !lower_case(request.header("content-type")).starts_with("application/json") &&
      (head.chunked() || head.content_length().value_or(0) > 0))
    throw ApiError(415, "not_json", "the body must be JSON, with Content-Type: application/json");
  if (request.header("expect") == "100-continue") {
    const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(stream_, asio::buffer(go_on), asio::use_awaitable);
  }
  if (route.body == Body::form_file) {
    co_await read_file(head, request);
  } else {
    co_await read_json(head, request);
  }
}

asio::awaitable<void> Connection::read_json(Head& head, Request& request) {
  const auto length = head.content_length();
  if (length && *length > limits_.json_bytes) throw too_large(limits_.json_bytes);
  http::request_parser<http::string_body> parser(std::move(head));
  parser.body_limit(limits_.json_bytes);
  beast::error_code code;
  stream_.expires_after(limits_.body);
  co_await http::async_read(stream_, buffer_, parser, asio::redirect_error(asio::use_awaitable, code));
  if (code == http::error::body_limit) throw too_large(limits_.json_bytes);
  if (code == beast::error::timeout) throw ApiError(408, "too_slow", "the body did not come in time");
  if (code) throw ApiError(400, "bad_request", "the body did not come whole: " + code.message());
  request.body = std::move(parser.get().body());
  unread_ = false;
}

asio::awaitable<void> Connection::read_file(Head& head, Request& request) {
  http::request_parser<http::buffer_body> parser(std::move(head));
  parser.body_limit(limits_.file_bytes);
  request.body_file = uploads_ / ("upload-" + std::to_string(reinterpret_cast<uintptr_t>(this)));
  AppendFile file(request.body_file, AppendFile::Mode::replace);
  std::vector<char> piece(kPiece);
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    beast::error_code code;
    stream_.expires_after(limits_.body);
    co_await http::async_read(stream_, buffer_, parser, asio::redirect_error(asio::use_awaitable, code));
    if (code == http::error::need_buffer) code = {};
    if (code == http::error::body_limit) throw too_large(limits_.file_bytes);
    if (code) throw ApiError(400, "bad_request", "the body did not come whole: " + code.message());
    file.write({piece.data(), piece.size() - parser.get().body().size});
  }
  unread_ = false;
}

}  // namespace thalweg::service
