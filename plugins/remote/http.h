// One request over HTTP. What is above this knows no sockets, so that tests need none.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "address.h"
#include "secret.h"
#include "url.h"

namespace remote {

/// A part of multipart/form-data.
struct Part {
  std::string name, type, data;
};

struct HttpRequest {
  std::string method = "POST";
  std::string path;                                          // behind the URL's own
  std::vector<std::pair<std::string, std::string>> headers;  // besides the key and the type of the body
  std::string json;                                          // the body, unless there are parts
  std::vector<Part> parts;
};

struct HttpReply {
  int status = 0;  // 0: none came
  std::string body, content_type, retry_after;
  std::string failure;     // "" where a whole reply came
  bool transient = false;  // the failure may be gone next time
  bool sent = false;       // the server may have seen the request
};

class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;
  /// Returns within `seconds`, or little later. [any thread]
  virtual HttpReply send(const HttpRequest& request, double seconds) = 0;
};

struct HttpOptions {
  double connect_s = 5.0;
  int64_t max_reply_bytes = int64_t{8} << 20;
  std::string ca_file;  // "": the system's
};

/// By libcurl. Follows no redirect, asks no proxy, unpacks nothing, sends no cookie; every connection is made
/// to an address that the rules take, whatever the host's name is resolved to. Connections are kept.
class CurlTransport final : public Transport {
 public:
  CurlTransport(Url url, AddressRules rules, Secret secret, HttpOptions options);
  ~CurlTransport() override;
  HttpReply send(const HttpRequest& request, double seconds) override;

 private:
  struct Handle;
  std::unique_ptr<Handle> take();
  void give_back(std::unique_ptr<Handle> handle);

  const Url url_;
  const AddressRules rules_;
  const Secret secret_;
  const HttpOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;
};

}  // namespace remote
