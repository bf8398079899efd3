// Internet addresses, and which of them a reward may connect to.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "url.h"

namespace remote {

struct Address {
  int family = 0;                   // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};  // of IPv4 the first four

  bool is_v6() const { return family == AF_INET6; }
  std::string text() const;
};

/// Four decimal numbers without leading zeros, or an IPv6 address without a zone. None for all else.
std::optional<Address> parse_address(std::string_view text);

/// None for other families.
std::optional<Address> address_of(const sockaddr& socket_address);

/// What keeps an address from being a public one: "loopback", "private", ... ; "" for a public one. An IPv6
/// address that carries one of IPv4 (mapped, NAT64, 6to4) is judged by that, too.
std::string_view not_public(const Address& address);

/// The rules for one URL. A host that the user names in `allow_hosts` ("judge.local", "127.0.0.1:8000") may
/// lie in this machine or a private network, and may be spoken to without TLS. A link-local address is taken
/// only where the URL's host is that very address.
class AddressRules {
 public:
  /// Throws thalweg::Error at "/url" or "/allow_hosts/N".
  AddressRules(const Url& url, const std::vector<std::string>& allow_hosts);

  /// "", or why no connection is made to this address, which the URL's host has been resolved to.
  std::string refusal(const sockaddr& socket_address) const;

  bool allowed_by_name() const { return allowed_by_name_; }

 private:
  std::string host_;
  std::optional<Address> literal_;  // where the host is an address
  bool allowed_by_name_ = false;
};

}  // namespace remote
