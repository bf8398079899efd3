// Reading multipart/form-data (RFC 7578) that a server answers with.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace remote {

/// Parts by name; the views are into `body`. `content_type` is the reply's header. Throws std::runtime_error
/// for what is no whole multipart body, for a part without a name, and for a name given twice.
std::map<std::string, std::string_view> read_multipart(std::string_view content_type, std::string_view body);

}  // namespace remote
