// One strict reading of a URL, which everything in this folder shares: what is checked is what is contacted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace remote {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; an IPv6 address without its brackets
  bool is_address = false;
  uint16_t port = 0;
  std::string path;  // "" or "/..." without a slash at its end

  /// scheme://host:port, the port always written.
  std::string origin() const;
  std::string text() const { return origin() + path; }
};

/// Takes http and https, a host name in ASCII or an address in its usual form, a port and a path; refuses all
/// that other readers could take for another host: user names, queries, fragments, backslashes, blanks,
/// percent signs, dot segments, and numbers that are addresses to some (0x7f.1, 2130706433, 127.1). Throws
/// thalweg::Error with an empty place.
Url parse_url(std::string_view text);

}  // namespace remote
