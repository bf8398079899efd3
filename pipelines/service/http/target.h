// Path and query of a request line.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace thalweg::service {

struct Target {
  std::string path;  ///< decoded
  std::map<std::string, std::string> query;
};

/// Throws ApiError (400) for a target that is no absolute path, a broken percent sign, a NUL, "." or ".." as
/// a piece of the path (however written), or text that is not UTF-8.
Target parse_target(std::string_view target);

}  // namespace thalweg::service
