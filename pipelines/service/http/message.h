// What a client asks and what it is told, whatever carries it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/descriptor.h"
#include "engine/core/json.h"

namespace thalweg::service {

struct Request {
  std::string method;  ///< "GET"
  std::string path;    ///< decoded, without the query
  std::map<std::string, std::string> query;
  std::map<std::string, std::string> headers;    ///< names in lower case
  std::map<std::string, std::string> arguments;  ///< of the route's pattern: {id}
  std::string body;
  std::filesystem::path body_file;  ///< of routes that take a large body: where it lies

  std::string header(const std::string& lower_case_name) const;
};

/// Where a stream's events go. Throws once the client is gone, or reads nothing for the time that it has.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual boost::asio::awaitable<void> write(const std::string& bytes) = 0;
};

struct Response {
  unsigned status = 200;
  std::string type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::shared_ptr<const Descriptor> file = {};  ///< a whole file in the body's place; ranges of it are served
  std::function<boost::asio::awaitable<void>(Outlet&)> stream =
      {};  ///< in the body's place; the connection ends after it
};

Response json_response(const Json& json, unsigned status = 200);

/// What a client is told in place of an answer, as OpenAI words it.
class ApiError : public std::exception {
 public:
  /// `param`: JSON pointer or name of what is wrong; may be empty. `code`: a word for programs.
  ApiError(unsigned status, std::string code, std::string message, std::string param = "");

  unsigned status() const noexcept { return status_; }
  const char* what() const noexcept override { return message_.c_str(); }
  Response response() const;

  std::vector<std::pair<std::string, std::string>> headers = {};

 private:
  unsigned status_;
  std::string code_, message_, param_;
};

}  // namespace thalweg::service
