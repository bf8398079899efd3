#include "pipelines/service/http/gate.h"

#include <sys/stat.h>

#include <algorithm>
#include <sstream>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/sha256.h"
#include "pipelines/service/http/lower_case.h"

namespace thalweg::service {
namespace {

constexpr size_t kShortestKey = 16, kLongestKey = 512, kMostKeyBytes = size_t{1} << 20;

/// Both of one length, and no byte looked at sooner than another.
bool same_hash(const std::string& a, const std::string& b) {
  unsigned char differs = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    differs = static_cast<unsigned char>(differs | (a[i] ^ b[i]));
  return differs == 0;
}

/// "localhost" of "localhost:8080", "::1" of "[::1]:8080"; in lower case.
std::string host_of(const std::string& name) {
  const auto text = lower_case(name);
  if (text.starts_with("[")) return text.substr(1, text.find(']') - 1);
  return text.substr(0, text.find(':'));
}

}  // namespace

Gate::Gate(const std::filesystem::path& keys, const std::vector<std::string>& hosts)
    : hosts_{"localhost", "127.0.0.1", "::1"} {
  for (const auto& host : hosts) hosts_.insert(host_of(host));
  if (keys.empty()) return;
  struct stat status {};
  if (::stat(keys.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    throw Error(keys, "others may read the keys: chmod 600 it");
  std::istringstream lines(read_file(keys, kMostKeyBytes));
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    const bool admin = line.starts_with("admin ");
    const auto key = admin ? line.substr(6) : line;
    if (key.size() < kShortestKey || key.size() > kLongestKey)
      throw Error(keys, "a key must have " + std::to_string(kShortestKey) + " to " +
                            std::to_string(kLongestKey) + " characters");
    keys_.push_back({sha256_hex(key), admin});
  }
  if (keys_.empty()) throw Error(keys, "holds no key");
}

void Gate::check_origin(const Request& request) const {
  const auto host = request.header("host");
  if (!hosts_.contains(host_of(host)))
    throw ApiError(403, "unknown_host",
                   "this server is not called by that name; the operator may add it: --allow-host");
  const auto origin = request.header("origin");
  if (origin.empty()) return;
  const auto scheme = origin.find("://");
  if (scheme == std::string::npos || origin.substr(scheme + 3) != host)
    throw ApiError(403, "foreign_origin", "pages of other sites may not ask here");
}

void Gate::check(const Request& request, Access access, bool local) const {
  if (!local) check_origin(request);
  if (access == Access::open || keys_.empty()) return;
  const auto text = request.header("authorization");
  constexpr std::string_view kBearer = "Bearer ";
  const std::string given = text.starts_with(kBearer) && text.size() <= kBearer.size() + kLongestKey
                                ? text.substr(kBearer.size())
                                : "";
  const auto hash = sha256_hex(given);
  const Key* known = nullptr;
  for (const auto& key : keys_)
    if (same_hash(key.sha256, hash)) known = &key;
  if (known == nullptr || given.empty()) {
    ApiError error(401, "invalid_api_key", "a key is needed: the header Authorization: Bearer KEY");
    error.headers.emplace_back("WWW-Authenticate", "Bearer");
    throw error;
  }
  if (access == Access::admin && !known->admin)
    throw ApiError(403, "not_an_operator", "an operator's key is needed for this");
}

}  // namespace thalweg::service
