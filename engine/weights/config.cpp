#include "engine/weights/config.h"

#include <limits>

#include "engine/core/error.h"

namespace thalweg {
namespace {

using Path = std::filesystem::path;

/// Null for a key that is absent or null.
const Json* find(const Json& config, const std::string& key, const Path& path) {
  if (!config.is_object()) throw Error(path.string(), "must be a JSON object");
  const auto it = config.find(key);
  return it == config.end() || it->is_null() ? nullptr : &*it;
}

[[noreturn]] void fail(const Path& path, const std::string& key, const std::string& message) {
  throw Error(path.string(), "\"" + key + "\" " + message);
}

template <typename T>
std::string shown(T value) {
  return Json(value).dump();
}

int64_t integer(const Json& value, const std::string& key, int64_t low, int64_t high, const Path& path) {
  const auto wanted = "must be a whole number from " + shown(low) + " to " + shown(high);
  if (!value.is_number_integer()) fail(path, key, wanted);
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})
    fail(path, key, wanted);
  const auto number = value.get<int64_t>();
  if (number < low || number > high) fail(path, key, wanted + ", not " + shown(number));
  return number;
}

double number(const Json& value, const std::string& key, double low, double high, const Path& path) {
  const auto wanted = "must be a number from " + shown(low) + " to " + shown(high);
  if (!value.is_number()) fail(path, key, wanted);
  const auto number = value.get<double>();
  if (!(number >= low && number <= high)) fail(path, key, wanted + ", not " + shown(number));
  return number;
}

const Json& list(const Json& value, const std::string& key, size_t max_size, const Path& path) {
  if (!value.is_array() || value.empty() || value.size() > max_size)
    fail(path, key, "must be a list of 1 to " + std::to_string(max_size) + " elements");
  return value;
}

}  // namespace

int64_t config_integer(const Json& config, const std::string& key, int64_t fallback, int64_t low,
                       int64_t high, const Path& path) {
  const auto* value = find(config, key, path);
  return value ? integer(*value, key, low, high, path) : fallback;
}

double config_number(const Json& config, const std::string& key, double fallback, double low, double high,
                     const Path& path) {
  const auto* value = find(config, key, path);
  if (!value) return fallback;
  return number(*value, key, low, high, path);
}

bool config_bool(const Json& config, const std::string& key, bool fallback, const Path& path) {
  const auto* value = find(config, key, path);
  if (!value) return fallback;
  if (!value->is_boolean()) fail(path, key, "must be true or false");
  return value->get<bool>();
}

std::string config_text(const Json& config, const std::string& key, const std::string& fallback,
                        const Path& path) {
  const auto* value = find(config, key, path);
  if (!value) return fallback;
  if (!value->is_string()) fail(path, key, "must be a text");
  return value->get<std::string>();
}

std::vector<int64_t> config_integers(const Json& config, const std::string& key,
                                     const std::vector<int64_t>& fallback, int64_t low, int64_t high,
                                     size_t max_size, const Path& path) {
  const auto* value = find(config, key, path);
  if (!value) return fallback;
  std::vector<int64_t> numbers;
  for (const auto& element : list(*value, key, max_size, path))
    numbers.push_back(integer(element, key + "[" + std::to_string(numbers.size()) + "]", low, high, path));
  return numbers;
}

std::vector<double> config_numbers(const Json& config, const std::string& key, double low, double high,
                                   size_t max_size, const Path& path, const std::string& under) {
  const auto* value = find(config, key, path);
  if (!value) fail(path, under + key, "is missing");
  std::vector<double> numbers;
  for (const auto& element : list(*value, under + key, max_size, path))
    numbers.push_back(
        number(element, under + key + "[" + std::to_string(numbers.size()) + "]", low, high, path));
  return numbers;
}

std::vector<std::string> config_texts(const Json& config, const std::string& key,
                                      const std::vector<std::string>& fallback, size_t max_size,
                                      const Path& path) {
  const auto* value = find(config, key, path);
  if (!value) return fallback;
  std::vector<std::string> texts;
  for (const auto& element : list(*value, key, max_size, path)) {
    if (!element.is_string()) fail(path, key + "[" + std::to_string(texts.size()) + "]", "must be a text");
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

}  // namespace thalweg
