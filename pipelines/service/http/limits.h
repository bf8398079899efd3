// What one client may cost.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace thalweg::service {

/// Of TCP or a Unix socket.
using Socket = boost::asio::generic::stream_protocol::socket;

struct HttpLimits {
  uint32_t header_bytes = 16 << 10;
  uint64_t json_bytes = 4 << 20, file_bytes = uint64_t{512} << 20;
  size_t connections = 2048;
  std::chrono::seconds head{10};  ///< for a request's lines and headers; an idle connection waits `idle`
  std::chrono::seconds idle{60};
  std::chrono::seconds body{15};   ///< for a JSON body, and for each 256 KiB of a file
  std::chrono::seconds write{15};  ///< for an answer, or each piece of one
};

}  // namespace thalweg::service
