#include "pipelines/service/http/ask.h"

#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <vector>

#include "engine/core/error.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr uint64_t kLongestAnswer = uint64_t{64} << 20;
constexpr std::string_view kUnix = "unix:", kHttp = "http://";

http::request<http::string_body> request_to(const Server& server, const std::string& method,
                                            const std::string& target, const std::string& body) {
  http::request<http::string_body> request(http::string_to_verb(method), target, 11);
  const bool is_local = server.url.starts_with(kUnix);
  request.set(http::field::host, is_local ? "localhost" : server.url.substr(kHttp.size()));
  if (!server.key.empty()) request.set(http::field::authorization, "Bearer " + server.key);
  if (method == "POST") request.set(http::field::content_type, "application/json");
  request.body() = body;
  request.prepare_payload();
  return request;
}

/// Calls `talk` with a connected socket.
template <typename Talk>
void connected(const Server& server, Talk talk) {
  asio::io_context context;
  try {
    if (server.url.starts_with(kUnix)) {
      asio::local::stream_protocol::socket socket(context);
      socket.connect(asio::local::stream_protocol::endpoint(server.url.substr(kUnix.size())));
      return talk(socket);
    }
    if (!server.url.starts_with(kHttp)) throw Error("--server", "must be http://HOST:PORT or unix:PATH");
    auto host = server.url.substr(kHttp.size());
    while (host.ends_with('/')) host.pop_back();
    const auto colon = host.rfind(':');
    const bool has_port = colon != std::string::npos && host.find(']', colon) == std::string::npos;
    auto name = host.substr(0, has_port ? colon : std::string::npos);
    if (name.starts_with("[") && name.ends_with("]")) name = name.substr(1, name.size() - 2);
    asio::ip::tcp::resolver resolver(context);
    asio::ip::tcp::socket socket(context);
    asio::connect(socket, resolver.resolve(name, has_port ? host.substr(colon + 1) : "80"));
    talk(socket);
  } catch (const boost::system::system_error& e) {
    throw IoError(server.url, "no service answers: " + e.code().message() +
                                  " (is `thalweg serve` running? --server says where)");
  }
}

/// Lines "field: value" up to an empty one are an event.
struct EventReader {
  std::string pending = {}, kind = {}, id = {}, data = {};

  template <typename Each>
  bool take(std::string_view bytes, const Each& each) {
    pending += bytes;
    size_t begin = 0;
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', begin)) {
      if (!line(std::string_view(pending).substr(begin, end - begin), each)) return false;
      begin = end + 1;
    }
    pending.erase(0, begin);
    return true;
  }

  template <typename Each>
  bool line(std::string_view text, const Each& each) {
    if (text.empty()) {
      const bool goes_on =
          data.empty() || each(std::exchange(kind, ""), std::exchange(id, ""), std::exchange(data, ""));
      return goes_on;
    }
    const auto colon = text.find(": ");
    if (colon == std::string_view::npos) return true;
    const auto value = text.substr(colon + 2);
    if (text.starts_with("event: ")) kind = value;
    if (text.starts_with("id: ")) id = value;
    if (text.starts_with("data: ")) data = value;
    return true;
  }
};

}  // namespace

Answer ask(const Server& server, const std::string& method, const std::string& target,
           const std::string& body) {
  Answer answer;
  connected(server, [&](auto& socket) {
    http::write(socket, request_to(server, method, target, body));
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kLongestAnswer);
    http::read(socket, buffer, parser);
    answer = {parser.get().result_int(), std::move(parser.get().body())};
  });
  return answer;
}

void follow(const Server& server, const std::string& target, const std::string& last_id,
            const std::function<bool(const std::string&, const std::string&, const std::string&)>& each) {
  connected(server, [&](auto& socket) {
    auto request = request_to(server, "GET", target, "");
    request.set(http::field::accept, "text/event-stream");
    if (!last_id.empty()) request.set("Last-Event-ID", last_id);
    http::write(socket, request);
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    http::read_header(socket, buffer, parser);
    if (parser.get().result_int() != 200)
      throw Error(target, "the service answered " + std::to_string(parser.get().result_int()));
    EventReader reader;
    std::vector<char> piece(1 << 16);
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      beast::error_code code;
      http::read_some(socket, buffer, parser, code);
      if (code == http::error::need_buffer) code = {};
      if (code) throw boost::system::system_error(code);
      if (!reader.take({piece.data(), piece.size() - parser.get().body().size}, each)) return;
    }
  });
}

}  // namespace thalweg::service
