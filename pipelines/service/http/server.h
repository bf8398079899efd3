// HTTP/1.1 on TCP and a Unix socket, one thread: limits on every size, deadlines on every wait.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "pipelines/service/http/gate.h"
#include "pipelines/service/http/limits.h"
#include "pipelines/service/http/router.h"

namespace thalweg::service {

class HttpServer {
 public:
  /// `uploads`: a folder for the bodies of files, while they come in.
  HttpServer(boost::asio::io_context& context, const Router& router, const Gate& gate,
             std::filesystem::path uploads, HttpLimits limits = {});

  /// Returns the port, which the system chooses for 0. Throws Error for an address that is none, or is taken.
  uint16_t listen(const std::string& address, uint16_t port);
  /// A socket that this user alone may use; an abandoned one of that name is replaced.
  void listen_locally(const std::filesystem::path& path);

 private:
  template <typename Acceptor>
  boost::asio::awaitable<void> accept(Acceptor acceptor, bool local);
  boost::asio::awaitable<void> serve(Socket socket, bool local);

  boost::asio::io_context& context_;
  const Router& router_;
  const Gate& gate_;
  std::filesystem::path uploads_;
  HttpLimits limits_;
  size_t connections_ = 0;
};

}  // namespace thalweg::service
