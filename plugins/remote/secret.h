// The key of an API. It is sent to the server and shown nowhere.
#pragma once

#include <string>
#include <string_view>

namespace remote {

class Secret {
 public:
  Secret() = default;
  /// From a variable of the environment or a file that nobody but its owner may read (mode 600 or less); both
  /// "": none. Throws thalweg::Error at "/api_key_env" or "/api_key_file", without the key.
  Secret(const std::string& variable, const std::string& file);

  bool empty() const { return key_.empty(); }
  std::string authorization() const { return "Authorization: Bearer " + key_; }

  /// `text` with every copy of the key replaced: what a server says may quote it.
  std::string redacted(std::string text) const;

 private:
  std::string key_;
};

}  // namespace remote
