#include "secret.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/json.h"

namespace remote {
namespace {

using thalweg::Error;

constexpr size_t kMaxKey = 4096;

std::string key_of_file(const std::string& file) {
  struct stat about {};
  if (::stat(file.c_str(), &about) != 0)
    throw Error("/api_key_file", "\"" + file + "\" cannot be read: " + std::strerror(errno));
  if ((about.st_mode & 077) != 0)
    throw Error("/api_key_file", "\"" + file + "\" may be read by others than its owner: chmod 600 it");
  auto key = thalweg::read_file(file, kMaxKey);
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  return key;
}

}  // namespace

Secret::Secret(const std::string& variable, const std::string& file) {
  if (variable.empty() && file.empty()) return;
  if (!variable.empty() && !file.empty()) throw Error("/api_key_file", "cannot stand beside \"api_key_env\"");
  const std::string place = variable.empty() ? "/api_key_file" : "/api_key_env";
  if (!file.empty()) {
    key_ = key_of_file(file);
  } else {
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') throw Error(place, "the environment has no \"" + variable + "\"");
    key_ = value;
  }
  // A line's end in it would begin another header.
  if (key_.size() < 8 || key_.size() > kMaxKey ||
      std::any_of(key_.begin(), key_.end(), [](char c) { return c <= ' ' || c > '~'; }))
    throw Error(place, "holds no key: 8 to 4096 printable characters without blanks");
}

std::string Secret::redacted(std::string text) const {
  if (key_.empty()) return text;
  for (size_t at = 0; (at = text.find(key_, at)) != std::string::npos;)
    text.replace(at, key_.size(), "[the API key]");
  return text;
}

}  // namespace remote
