// SHA-256 (FIPS 180-4) of bytes and files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/sha256_blocks.h"

namespace thalweg {

/// That of this processor.
Sha256Blocks fastest_sha256();

class Sha256 {
 public:
  explicit Sha256(Sha256Blocks blocks = fastest_sha256()) : blocks_(blocks) {}

  void update(std::string_view bytes);

  /// 64 lower-case hex digits. The object is used up.
  std::string hex();

 private:
  Sha256Blocks blocks_;
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_{};
  size_t pending_size_ = 0;
  uint64_t total_ = 0;
};

std::string sha256_hex(std::string_view bytes);

/// Reads in blocks of 1 MiB. Throws Error naming the path.
std::string sha256_file(const std::filesystem::path& path);

/// Of the files one after another, as `cat FILES | sha256sum` counts it.
std::string sha256_files(const std::vector<std::filesystem::path>& paths);

}  // namespace thalweg
