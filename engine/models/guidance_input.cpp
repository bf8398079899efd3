#include "engine/models/guidance_input.h"

#include "engine/core/json.h"
#include "engine/weights/folder.h"

namespace thalweg {

bool has_guidance_input(const std::filesystem::path& folder) {
  const auto file = folder / "transformer" / "config.json";
  std::error_code ec;
  if (!std::filesystem::exists(file, ec)) return false;
  const auto config = parse_json_file(file, kMaxConfigBytes);
  return config.is_object() && config.contains("guidance_embeds") && config.at("guidance_embeds") == true;
}

}  // namespace thalweg
