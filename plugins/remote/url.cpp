#include "url.h"

#include <algorithm>
#include <charconv>

#include "address.h"
#include "ascii.h"
#include "engine/core/error.h"

namespace remote {
namespace {

constexpr size_t kMaxUrl = 2000, kMaxHost = 253, kMaxLabel = 63;

[[noreturn]] void refuse(const std::string& why) {
  throw thalweg::Error("", "is no URL that is taken here: " + why);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

std::string_view take_scheme(std::string_view& rest) {
  for (const std::string_view scheme : {"https", "http"})
    if (rest.substr(0, scheme.size()) == scheme && rest.substr(scheme.size(), 3) == "://") {
      rest.remove_prefix(scheme.size() + 3);
      return scheme;
    }
  refuse("it must begin with https:// or http://");
}

/// Some resolvers read a host whose last label is a number as an address (WHATWG URL, 3.5: "ends in a
/// number").
bool ends_in_number(std::string_view host) {
  const auto last = host.substr(host.rfind('.') == std::string_view::npos ? 0 : host.rfind('.') + 1);
  return is_all_digits(last) || last.substr(0, 2) == "0x";
}

void check_name(std::string_view host) {
  if (host.empty() || host.size() > kMaxHost) refuse("it has no host, or one that is too long");
  size_t label = 0;
  for (size_t i = 0; i <= host.size(); ++i) {
    if (i < host.size() && host[i] != '.') {
      const char c = host[i];
      if (!is_letter(c) && !is_digit(c) && c != '-')
        refuse("a host's name has letters, digits, dots and hyphens in ASCII");
      continue;
    }
    if (i == label || i - label > kMaxLabel || host[label] == '-' || host[i - 1] == '-')
      refuse("a part of the host's name is empty, too long, or has a hyphen at its end");
    label = i + 1;
  }
  if (ends_in_number(host)) refuse("its host is neither a name nor an address of four decimal numbers");
}

void take_host(std::string_view& rest, Url& url) {
  const bool bracketed = !rest.empty() && rest.front() == '[';
  const size_t end = bracketed ? rest.find(']') : rest.find_first_of(":/");
  if (bracketed && end == std::string_view::npos) refuse("a bracket is open");
  const auto host = bracketed ? rest.substr(1, end - 1) : rest.substr(0, end);
  rest.remove_prefix(bracketed ? end + 1 : std::min(end, rest.size()));
  url.host = ascii_lower(host);
  const auto address = parse_address(url.host);
  url.is_address = address.has_value();
  if (bracketed != (address && address->is_v6())) refuse("an IPv6 address, and no other host, has brackets");
  if (!url.is_address) check_name(url.host);
}

void take_port(std::string_view& rest, Url& url) {
  url.port = url.scheme == "https" ? 443 : 80;
  if (rest.empty() || rest.front() != ':') return;
  rest.remove_prefix(1);
  const auto digits = rest.substr(0, rest.find('/'));
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
  if (!is_all_digits(digits) || digits.front() == '0' || failure != std::errc{} ||
      end != digits.data() + digits.size())
    refuse("its port must be a number from 1 to 65535");
  rest.remove_prefix(digits.size());
}

void take_path(std::string_view rest, Url& url) {
  if (!rest.empty() && rest.front() != '/') refuse("what follows the host must be a port or a path");
  for (const char c : rest)
    if (!is_letter(c) && !is_digit(c) && std::string_view("/-._~+:@,=").find(c) == std::string_view::npos)
      refuse("its path has a character other than letters, digits and / - . _ ~ + : @ , =");
  while (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  url.path = rest;
  const auto closed = url.path + "/";
  for (const auto* bad : {"//", "/./", "/../"})
    if (closed.find(bad) != std::string::npos) refuse("its path has an empty part, \".\" or \"..\"");
}

}  // namespace

std::string Url::origin() const {
  const bool v6 = host.find(':') != std::string::npos;
  return scheme + "://" + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Url parse_url(std::string_view text) {
  if (text.size() > kMaxUrl) refuse("it is longer than " + std::to_string(kMaxUrl) + " bytes");
  Url url;
  url.scheme = take_scheme(text);
  take_host(text, url);
  take_port(text, url);
  take_path(text, url);
  return url;
}

}  // namespace remote
