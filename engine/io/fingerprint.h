// What tells a changed input file from the one that a run began with, without reading gigabytes of weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace thalweg {

/// Files up to this size are hashed whole; of larger ones 16 KiB of every MiB, the first and the last MiB.
inline constexpr uint64_t kWholeFingerprint = uint64_t{64} << 20;

/// sha256 of the size and of the bytes looked at: 64 hex digits. Times and names do not matter. A larger file
/// in which less than a MiB was changed may pass; another training, precision or revision does not. Throws
/// Error naming the path.
std::string fingerprint(const std::filesystem::path& path);

/// Files of a model folder that decide what it computes, sorted: .json, .safetensors, .model, merges.txt and
/// vocab.txt in it and in its subfolders of one level; beside a model_index.json that file alone. A file is
/// itself; what is not there is nothing.
std::vector<std::filesystem::path> files_of_input(const std::filesystem::path& path);

}  // namespace thalweg
