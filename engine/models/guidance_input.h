// Networks that were distilled from a guided one, and are told the guidance scale (FLUX.1-dev).
#pragma once

#include <filesystem>

namespace thalweg {

/// Of the conditioning: the scale [B]. Absent: ModelOptions::embedded_guidance.
inline constexpr const char* kGuidanceInput = "guidance";
inline constexpr double kDefaultEmbeddedGuidance = 3.5;  // FLUX.1-dev's

/// Whether the transformer in the model's folder has an input for it, as its config says. Throws Error for a
/// config that is no JSON.
bool has_guidance_input(const std::filesystem::path& folder);

}  // namespace thalweg
