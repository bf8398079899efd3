// Single fields of a tokenizer's JSON files. `place` names the file in the Error that each throws.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "engine/models/text/bpe_files.h"

namespace thalweg {

/// The value at `key`, or null.
const nlohmann::json& member(const nlohmann::json& object, const char* key);

/// Throws when the key is there and neither null nor false.
void refuse_true(const nlohmann::json& object, const char* key, const std::string& place);
/// Throws when the key is there with another value.
void refuse_other(const nlohmann::json& object, const char* key, const char* wanted,
                  const std::string& place);

/// A token as text or as {"content": ..., flags}; `name` says in errors which one. None of the
/// `refused_flags` may be set.
AddedToken read_token(const nlohmann::json& value, const std::string& name, const std::string& place,
                      const std::vector<const char*>& refused_flags);
int64_t read_id(const nlohmann::json& value, const std::string& token, const std::string& place);

/// model_max_length in 2 .. 1,000,000; `unset` where it is absent or stands for infinity.
int64_t read_max_length(const nlohmann::json& config, const std::string& place, int64_t unset);

/// Checks add_bos_token and add_eos_token: both true or both absent.
void require_frame(const nlohmann::json& config, const std::string& place);
/// Ids around every text, from the post-processor that tokenizer.json holds; none where it holds none.
std::optional<std::pair<int64_t, int64_t>> read_frame(const nlohmann::json& processor,
                                                      const std::string& place);

}  // namespace thalweg
