#include "pipelines/service/http/server.h"

#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "engine/core/error.h"
#include "pipelines/service/http/connection.h"

namespace thalweg::service {

namespace asio = boost::asio;

namespace {

constexpr int kWaiting = 512, kSendBuffer = 128 << 10;

/// Whether a server answers at this socket.
bool is_alive(const std::filesystem::path& path) {
  asio::io_context context;
  asio::local::stream_protocol::socket socket(context);
  boost::system::error_code code;
  socket.connect(asio::local::stream_protocol::endpoint(path.string()), code);
  return !code;
}

}  // namespace

HttpServer::HttpServer(asio::io_context& context, const Router& router, const Gate& gate,
                       std::filesystem::path uploads, HttpLimits limits)
    : context_(context), router_(router), gate_(gate), uploads_(std::move(uploads)), limits_(limits) {}

uint16_t HttpServer::listen(const std::string& address, uint16_t port) {
  boost::system::error_code code;
  const auto parsed = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, code);
  if (code)
    throw Error("--host",
                "\"" + address + "\" is no address: say 127.0.0.1, ::1, or the address of a network");
  try {
    asio::ip::tcp::acceptor acceptor(context_, {parsed, port});
    acceptor.set_option(asio::socket_base::send_buffer_size(kSendBuffer));  // of all that it accepts
    acceptor.listen(kWaiting);
    const auto bound = acceptor.local_endpoint().port();
    asio::co_spawn(context_, accept(std::move(acceptor), /*local=*/false), asio::detached);
    return bound;
  } catch (const boost::system::system_error& e) {
    throw Error("--port", address + ":" + std::to_string(port) + " cannot be used: " + e.code().message());
  }
}

void HttpServer::listen_locally(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_socket(path, ignored)) {
    if (is_alive(path)) throw Error(path, "another server answers at this socket");
    std::filesystem::remove(path, ignored);
  }
  const auto before = ::umask(S_IRWXG | S_IRWXO);
  try {
    asio::local::stream_protocol::acceptor acceptor(context_,
                                                    asio::local::stream_protocol::endpoint(path.string()));
    ::umask(before);
    acceptor.listen(kWaiting);
    asio::co_spawn(context_, accept(std::move(acceptor), /*local=*/true), asio::detached);
  } catch (const boost::system::system_error& e) {
    ::umask(before);
    throw Error(path, "cannot be used as a socket: " + e.code().message());
  }
}

template <typename Acceptor>
asio::awaitable<void> HttpServer::accept(Acceptor acceptor, bool local) {
  for (;;) {
    boost::system::error_code code;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, code));
    if (code == asio::error::operation_aborted) co_return;
    if (code) {  // out of descriptors: some will be closed
      asio::steady_timer pause(context_, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    if (connections_ >= limits_.connections) continue;  // closed at once
    asio::co_spawn(context_, serve(std::move(socket), local), asio::detached);
  }
}

asio::awaitable<void> HttpServer::serve(Socket socket, bool local) {
  ++connections_;
  try {
    Connection connection(std::move(socket), local, router_, gate_, uploads_, limits_);
    co_await connection.serve();
  } catch (const std::exception&) {  // the client is gone
  }
  --connections_;
}

}  // namespace thalweg::service
