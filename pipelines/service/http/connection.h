// One client: its requests, one after the other.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <string>

#include "pipelines/service/http/gate.h"
#include "pipelines/service/http/limits.h"
#include "pipelines/service/http/router.h"

namespace thalweg::service {

class Connection {
 public:
  using Stream = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;

  Connection(Socket socket, bool local, const Router& router, const Gate& gate,
             const std::filesystem::path& uploads, const HttpLimits& limits);

  /// Until the client goes, is slow, or asks for something that ends it.
  boost::asio::awaitable<void> serve();

 private:
  using Head = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  boost::asio::awaitable<bool> read_head(Head& head, bool first);
  boost::asio::awaitable<void> read_body(Head& head, const Route& route, Request& request);
  boost::asio::awaitable<void> read_json(Head& head, Request& request);
  boost::asio::awaitable<void> read_file(Head& head, Request& request);
  boost::asio::awaitable<Response> answer(Head& head, Request& request);
  boost::asio::awaitable<void> send(const Request& request, Response response);
  boost::asio::awaitable<void> send_file(const Request& request, const Response& response);
  boost::asio::awaitable<void> send_stream(const Response& response, bool is_head);
  boost::asio::awaitable<void> linger();
  template <typename Message>
  void dress(Message& message, const Response& response) const;

  Stream stream_;
  bool local_;
  const Router& router_;
  const Gate& gate_;
  const std::filesystem::path& uploads_;
  const HttpLimits& limits_;
  boost::beast::flat_buffer buffer_;
  unsigned version_ = 11;
  bool keeps_ = false;   // the connection, after this answer
  bool unread_ = false;  // a body, or a part of one
};

}  // namespace thalweg::service
