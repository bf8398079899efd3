// What a connection sends.
#include "pipelines/service/http/connection.h"

#include <utility>

#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "pipelines/service/http/file_answer.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr size_t kPiece = size_t{64} << 10;  // of a file, for each of a thousand slow readers

class StreamOutlet : public Outlet {
 public:
  StreamOutlet(Connection::Stream& stream, std::chrono::seconds patience)
      : stream_(stream), patience_(patience) {}
  asio::awaitable<void> write(const std::string& bytes) override {
    stream_.expires_after(patience_);
    co_await asio::async_write(stream_, asio::buffer(bytes), asio::use_awaitable);
    stream_.expires_never();
  }

 private:
  Connection::Stream& stream_;
  std::chrono::seconds patience_;
};

}  // namespace

template <typename Message>
void Connection::dress(Message& message, const Response& response) const {
  message.version(version_);
  message.keep_alive(keeps_);
  message.set(http::field::content_type, response.type);
  message.set("X-Content-Type-Options", "nosniff");
  message.set("Referrer-Policy", "no-referrer");
  message.set(http::field::cache_control, "no-store");
  for (const auto& [name, value] : response.headers) message.set(name, value);
}

asio::awaitable<void> Connection::send(const Request& request, Response response) {
  if (response.stream) {
    co_await send_stream(response, request.method == "HEAD");
    co_return;
  }
  if (response.file) {
    co_await send_file(request, response);
    co_return;
  }
  http::response<http::string_body> message(http::int_to_status(response.status), version_);
  dress(message, response);
  message.body() = std::move(response.body);
  message.prepare_payload();
  stream_.expires_after(limits_.write);
  if (request.method == "HEAD") {
    http::response_serializer<http::string_body> serializer(message);
    co_await http::async_write_header(stream_, serializer, asio::use_awaitable);
  } else {
    co_await http::async_write(stream_, message, asio::use_awaitable);
  }
}

asio::awaitable<void> Connection::send_stream(const Response& response, bool is_head) {
  keeps_ = false;
  http::response<http::empty_body> message(http::status::ok, version_);
  dress(message, response);
  http::response_serializer<http::empty_body> serializer(message);
  stream_.expires_after(limits_.write);
  co_await http::async_write_header(stream_, serializer, asio::use_awaitable);
  if (is_head) co_return;
  StreamOutlet outlet(stream_, limits_.write);
  co_await response.stream(outlet);
}

asio::awaitable<void> Connection::send_file(const Request& request, const Response& response) {
  FileAnswer answer(response.file->get(), request.header("range"));
  http::response<http::empty_body> message(http::int_to_status(answer.status()), version_);
  dress(message, response);
  message.set(http::field::accept_ranges, "bytes");
  message.content_length(answer.length());
  if (!answer.range().empty()) message.set(http::field::content_range, answer.range());
  http::response_serializer<http::empty_body> serializer(message);
  stream_.expires_after(limits_.write);
  co_await http::async_write_header(stream_, serializer, asio::use_awaitable);
  if (request.method == "HEAD") co_return;
  for (auto piece = answer.next(kPiece); !piece.empty(); piece = answer.next(kPiece)) {
    stream_.expires_after(limits_.write);
    co_await asio::async_write(stream_, asio::buffer(piece), asio::use_awaitable);
  }
  if (!answer.is_whole()) keeps_ = false;  // it shrank meanwhile: the client sees an early end
}

}  // namespace thalweg::service
