#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "ascii.h"
#include "engine/core/error.h"

namespace remote {
namespace {

using thalweg::Error;

struct Range {
  const char* first;
  int bits;
  std::string_view kind;
};

// The special-purpose registries of IANA (RFC 6890 and its updates), multicast and broadcast.
constexpr std::string_view kNever = "not an address of one machine";
constexpr std::string_view kLinkLocal = "link-local";
constexpr Range kRanges[] = {
    {"0.0.0.0", 8, kNever},
    {"10.0.0.0", 8, "private"},
    {"100.64.0.0", 10, "shared by a carrier"},
    {"127.0.0.0", 8, "loopback"},
    {"169.254.0.0", 16, kLinkLocal},
    {"172.16.0.0", 12, "private"},
    {"192.0.0.0", 24, "reserved"},
    {"192.0.2.0", 24, "reserved"},
    {"192.31.196.0", 24, "reserved"},
    {"192.52.193.0", 24, "reserved"},
    {"192.88.99.0", 24, "reserved"},
    {"192.168.0.0", 16, "private"},
    {"192.175.48.0", 24, "reserved"},
    {"198.18.0.0", 15, "reserved"},
    {"198.51.100.0", 24, "reserved"},
    {"203.0.113.0", 24, "reserved"},
    {"224.0.0.0", 4, kNever},
    {"255.255.255.255", 32, kNever},
    {"240.0.0.0", 4, "reserved"},
    {"::", 128, kNever},
    {"::1", 128, "loopback"},
    {"::", 96, "reserved"},
    {"64:ff9b:1::", 48, "private"},
    {"100::", 64, "reserved"},
    {"2001::", 23, "reserved"},
    {"2001:db8::", 32, "reserved"},
    {"3fff::", 20, "reserved"},
    {"5f00::", 16, "reserved"},
    {"fc00::", 7, "private"},
    {"fe80::", 10, kLinkLocal},
    {"fec0::", 10, "private"},
    {"ff00::", 8, kNever},
};

bool same_bits(const Address& a, const Address& b, int bits) {
  const int whole = bits / 8, rest = bits % 8;
  if (std::memcmp(a.bytes.data(), b.bytes.data(), static_cast<size_t>(whole)) != 0) return false;
  const auto at = static_cast<size_t>(whole);
  return rest == 0 || ((a.bytes[at] ^ b.bytes[at]) >> (8 - rest)) == 0;
}

bool in(const Address& address, const char* first, int bits) {
  const auto start = parse_address(first);
  return start->family == address.family && same_bits(address, *start, bits);
}

/// The IPv4 address within one of IPv6.
std::optional<Address> carried(const Address& v6) {
  const auto at = [&](size_t from) {
    Address v4;
    v4.family = AF_INET;
    std::copy_n(v6.bytes.begin() + static_cast<std::ptrdiff_t>(from), 4, v4.bytes.begin());
    return v4;
  };
  if (in(v6, "::ffff:0:0", 96) || in(v6, "::ffff:0:0:0", 96) || in(v6, "64:ff9b::", 96)) return at(12);
  if (in(v6, "2002::", 16)) return at(2);
  return std::nullopt;
}

bool names(const std::string& entry, const Url& url) {
  const auto bracketed = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  return entry == url.host || entry == bracketed || entry == bracketed + ":" + std::to_string(url.port);
}

}  // namespace

std::string Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  return ::inet_ntop(family, bytes.data(), out.data(), out.size()) == nullptr ? "" : out.data();
}

std::optional<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  if (copy.size() != std::strlen(copy.c_str())) return std::nullopt;  // a NUL would end it early
  Address address;
  for (const int family : {AF_INET, AF_INET6}) {
    address.family = family;
    if (::inet_pton(family, copy.c_str(), address.bytes.data()) != 1) continue;
    // inet_pton takes leading zeros, which others read as octal.
    if (family == AF_INET && address.text() != copy) return std::nullopt;
    return address;
  }
  return std::nullopt;
}

std::optional<Address> address_of(const sockaddr& socket_address) {
  Address address;
  address.family = socket_address.sa_family;
  if (address.family == AF_INET)
    std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in&>(socket_address).sin_addr, 4);
  else if (address.family == AF_INET6)
    std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(socket_address).sin6_addr, 16);
  else
    return std::nullopt;
  return address;
}

std::string_view not_public(const Address& address) {
  if (address.is_v6())
    if (const auto v4 = carried(address)) return not_public(*v4);
  for (const auto& range : kRanges)
    if (in(address, range.first, range.bits)) return range.kind;
  return "";
}

AddressRules::AddressRules(const Url& url, const std::vector<std::string>& allow_hosts)
    : host_(url.host), literal_(parse_address(url.host)) {
  for (size_t i = 0; i < allow_hosts.size(); ++i) {
    if (!names(ascii_lower(allow_hosts[i]), url))
      throw Error("/allow_hosts/" + std::to_string(i),
                  "\"" + allow_hosts[i] + "\" is read by nothing: the host of /url is \"" + url.host + "\"");
    allowed_by_name_ = true;
  }
  if (allowed_by_name_) return;
  const std::string how = "; where that is meant, add \"allow_hosts\": [\"" + url.host + "\"]";
  if (url.scheme == "http")
    throw Error("/url", "is http, which anyone on the way can read and change; use https" + how);
  if (literal_ && !not_public(*literal_).empty())
    throw Error("/url", "its address is " + std::string(not_public(*literal_)) + how);
}

std::string AddressRules::refusal(const sockaddr& socket_address) const {
  const auto address = address_of(socket_address);
  if (!address) return "is no internet address";
  const auto kind = not_public(*address);
  // Link-local are the services that give a cloud's machines their credentials: no name leads there.
  const bool by_its_own_name = kind != kLinkLocal || (literal_ && same_bits(*literal_, *address, 128) &&
                                                      literal_->family == address->family);
  if (kind.empty() || (allowed_by_name_ && kind != kNever && by_its_own_name)) return "";
  const auto why = kind == kNever      ? ""
                   : !allowed_by_name_ ? ", and \"allow_hosts\" does not name it"
                                       : ", and no name may lead there, but only a URL with that address";
  return "\"" + host_ + "\" is " + address->text() + ", which is " + std::string(kind) + why;
}

}  // namespace remote
