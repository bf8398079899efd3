#include "reward_description.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace remote {
namespace {

using thalweg::Error;
using thalweg::Json;

constexpr size_t kMaxDimensions = 64, kMaxName = 100;
constexpr int64_t kMaxBatch = 4096;

[[noreturn]] void misdescribed(const std::string& why) {
  throw Error("/url", "the server's description (GET /v1/reward) " + why);
}

std::string text_at(const Json& json, const char* key, bool required) {
  if (!json.contains(key)) {
    if (required) misdescribed(std::string("has no \"") + key + "\"");
    return "";
  }
  if (!json.at(key).is_string()) misdescribed(std::string("has a \"") + key + "\" that is no text");
  return json.at(key).get<std::string>();
}

bool flag_at(const Json& json, const char* key) {
  if (!json.contains(key)) return false;
  if (!json.at(key).is_boolean())
    misdescribed(std::string("has a \"") + key + "\" that is not true or false");
  return json.at(key).get<bool>();
}

std::vector<std::string> texts_at(const Json& json, const char* key) {
  if (!json.contains(key) || !json.at(key).is_array())
    misdescribed(std::string("has no list \"") + key + "\"");
  std::vector<std::string> texts;
  for (const auto& text : json.at(key)) {
    if (!text.is_string()) misdescribed(std::string("has a \"") + key + "\" with something else than texts");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::vector<std::string> dimensions_of(const Json& json) {
  if (!json.contains("dimensions") || !json.at("dimensions").is_array())
    misdescribed("has no list \"dimensions\"");
  std::vector<std::string> names;
  for (const auto& dimension : json.at("dimensions")) {
    if (!dimension.is_object()) misdescribed("has a dimension that is no object");
    names.push_back(text_at(dimension, "name", true));
    if (names.back().empty() || names.back().size() > kMaxName)
      misdescribed("has a dimension with an empty or long name");
  }
  if (names.empty() || names.size() > kMaxDimensions) misdescribed("names no dimension, or more than 64");
  return names;
}

void compare(const std::string& expected, const std::string& found, const char* key) {
  if (!expected.empty() && expected != found)
    throw Error(std::string("/expect/") + key, "the server says \"" + found + "\"");
}

}  // namespace

RewardDescription description_of(const Json& json, const RewardProtocolOptions& options) {
  if (!json.is_object() || !json.contains("protocol") || json.at("protocol") != 1)
    misdescribed("is not of protocol 1");
  RewardDescription d;
  d.id = text_at(json, "id", true);
  d.version = text_at(json, "version", true);
  d.weights_sha256 = text_at(json, "weights_sha256", false);
  d.dimensions = dimensions_of(json);
  for (const auto& input : texts_at(json, "inputs")) {
    if (input == "reference")
      d.reference = true;
    else if (input == "metadata")
      d.metadata = true;
    else if (input != "frames" && input != "prompts")
      misdescribed("asks for \"" + input +
                   "\", which is not sent: "
                   "frames, prompts, reference and metadata are");
  }
  const auto formats = texts_at(json, "formats");
  if (std::find(formats.begin(), formats.end(), options.format) == formats.end())
    throw Error("/format", "the server takes no \"" + options.format + "\", but " + thalweg::join(formats));
  if (json.contains("max_batch")) {
    const auto& most = json.at("max_batch");
    if (!most.is_number_integer() || most < 1)
      misdescribed("has a \"max_batch\" that is no positive whole number");
    d.max_batch = static_cast<size_t>(most > kMaxBatch ? kMaxBatch : most.get<int64_t>());
  }
  if (flag_at(json, "group")) misdescribed("says that it scores groups as a whole, which is not there yet");
  d.gradient = flag_at(json, "gradient");
  d.nondeterministic = flag_at(json, "nondeterministic");
  compare(options.expect.id, d.id, "id");
  compare(options.expect.version, d.version, "version");
  compare(options.expect.weights_sha256, d.weights_sha256, "weights_sha256");
  return d;
}

}  // namespace remote
