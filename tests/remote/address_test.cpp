#include "plugins/remote/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "engine/core/error.h"

namespace remote {
namespace {

std::string kind(const char* text) {
  return std::string(not_public(parse_address(text).value()));
}

std::string refusal(const AddressRules& rules, const char* text) {
  const auto address = parse_address(text).value();
  if (address.is_v6()) {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    std::copy(address.bytes.begin(), address.bytes.end(), to.sin6_addr.s6_addr);
    return rules.refusal(reinterpret_cast<const sockaddr&>(to));
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  std::copy_n(address.bytes.begin(), 4, reinterpret_cast<uint8_t*>(&to.sin_addr));
  return rules.refusal(reinterpret_cast<const sockaddr&>(to));
}

TEST(Address, PublicOnesArePublic) {
  for (const auto* text :
       {"1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "192.167.255.255", "100.63.255.255",
        "100.128.0.0", "169.253.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1",
        "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1"})
    EXPECT_EQ(kind(text), "") << text;
}

TEST(Address, OthersAreNamed) {
  EXPECT_EQ(kind("127.0.0.1"), "loopback");
  EXPECT_EQ(kind("127.255.255.255"), "loopback");
  EXPECT_EQ(kind("10.255.0.1"), "private");
  EXPECT_EQ(kind("172.16.0.0"), "private");
  EXPECT_EQ(kind("172.31.255.255"), "private");
  EXPECT_EQ(kind("192.168.0.1"), "private");
  EXPECT_EQ(kind("169.254.169.254"), "link-local");
  EXPECT_EQ(kind("::1"), "loopback");
  EXPECT_EQ(kind("fe80::1"), "link-local");
  EXPECT_EQ(kind("febf::1"), "link-local");
  EXPECT_EQ(kind("fd00::1"), "private");
  for (const auto* text : {"0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "100.64.0.1",
                           "::", "ff02::1", "2001:db8::1", "2001::1", "198.18.0.1", "203.0.113.9"})
    EXPECT_NE(kind(text), "") << text;
}

TEST(Address, OneOfIPv4WithinIPv6CountsAsThatOne) {
  for (const auto* text : {"::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"})
    EXPECT_EQ(kind(text), "loopback") << text;
  EXPECT_EQ(kind("::ffff:169.254.169.254"), "link-local");
  EXPECT_NE(kind("::127.0.0.1"), "");
}

TEST(Address, OnlyTheUsualFormsAreRead) {
  for (const auto* text : {"127.1", "0177.0.0.1", "1.2.3.4.5", "1.2.3", "2130706433", " 1.2.3.4", "1.2.3.4 ",
                           "1.2.3.04", "::1%lo", "[::1]", ":::", "a.b.c.d", ""})
    EXPECT_FALSE(parse_address(text).has_value()) << text;
  EXPECT_FALSE(parse_address(std::string_view("1.2.3.4\0x", 9)).has_value());
}

TEST(AddressRules, APublicHostMayBePublicOnly) {
  const AddressRules rules(parse_url("https://judge.example"), {});
  EXPECT_EQ(refusal(rules, "8.8.8.8"), "");
  for (const auto* text : {"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "0.0.0.0"}) {
    const auto said = refusal(rules, text);
    EXPECT_NE(said.find("judge.example"), std::string::npos) << text << ": " << said;
  }
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_NE(rules.refusal(other), "");
}

TEST(AddressRules, ANamedHostMayBePrivateAndWithoutTls) {
  const AddressRules rules(parse_url("http://judge.local:8000"), {"Judge.local:8000"});
  EXPECT_TRUE(rules.allowed_by_name());
  EXPECT_EQ(refusal(rules, "127.0.0.1"), "");
  EXPECT_EQ(refusal(rules, "10.0.0.1"), "");
  for (const auto* text : {"0.0.0.0", "::", "224.0.0.1", "255.255.255.255"})
    EXPECT_NE(refusal(rules, text), "") << text;
  EXPECT_NO_THROW(AddressRules(parse_url("http://[::1]:8000"), {"[::1]:8000"}));
  EXPECT_NO_THROW(AddressRules(parse_url("http://[::1]:8000"), {"::1"}));
}

TEST(AddressRules, ALinkLocalAddressIsReachedByItselfAlone) {
  const AddressRules named(parse_url("http://judge.local"), {"judge.local"});
  for (const auto* text : {"169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "::ffff:169.254.169.254"})
    EXPECT_NE(refusal(named, text).find("link-local"), std::string::npos) << text;
  const AddressRules other(parse_url("http://169.254.0.1"), {"169.254.0.1"});
  EXPECT_EQ(refusal(other, "169.254.0.1"), "");
  EXPECT_NE(refusal(other, "169.254.169.254"), "");
  const AddressRules v6(parse_url("http://[fe80::1]"), {"fe80::1"});
  EXPECT_EQ(refusal(v6, "fe80::1"), "");
  EXPECT_NE(refusal(v6, "fe80::2"), "");
  // Not without being allowed.
  EXPECT_THROW(AddressRules(parse_url("https://169.254.0.1"), {}), thalweg::Error);
}

std::string place(const char* url, const std::vector<std::string>& allow) {
  try {
    AddressRules(parse_url(url), allow);
  } catch (const thalweg::Error& e) {
    return e.place();
  }
  return "none";
}

TEST(AddressRules, RefusesAtTheStart) {
  EXPECT_EQ(place("http://judge.example", {}), "/url");
  EXPECT_EQ(place("https://127.0.0.1", {}), "/url");
  EXPECT_EQ(place("https://[::ffff:10.0.0.1]", {}), "/url");
  EXPECT_EQ(place("https://judge.example", {}), "none");
  EXPECT_EQ(place("https://judge.example", {"other.example"}), "/allow_hosts/0");
  EXPECT_EQ(place("http://127.0.0.1:8000", {"127.0.0.1", "127.0.0.1:8001"}), "/allow_hosts/1");
  EXPECT_EQ(place("https://judge.example", {"*"}), "/allow_hosts/0");
  EXPECT_EQ(place("https://judge.example", {""}), "/allow_hosts/0");
}

}  // namespace
}  // namespace remote
