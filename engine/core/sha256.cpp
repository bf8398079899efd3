#include "engine/core/sha256.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "engine/core/file.h"

namespace thalweg {
Sha256Blocks fastest_sha256() {
  const auto x86 = sha256_blocks_x86();
  return x86 != nullptr ? x86 : sha256_blocks_portable;
}

void Sha256::update(std::string_view bytes) {
  total_ += bytes.size();
  while (!bytes.empty()) {
    if (pending_size_ == 0 && bytes.size() >= pending_.size()) {
      const size_t blocks = bytes.size() / pending_.size();
      blocks_(state_.data(), reinterpret_cast<const uint8_t*>(bytes.data()), blocks);
      bytes.remove_prefix(blocks * pending_.size());
      continue;
    }
    const size_t taken = std::min(bytes.size(), pending_.size() - pending_size_);
    std::memcpy(pending_.data() + pending_size_, bytes.data(), taken);
    pending_size_ += taken;
    bytes.remove_prefix(taken);
    if (pending_size_ < pending_.size()) break;
    blocks_(state_.data(), pending_.data(), 1);
    pending_size_ = 0;
  }
}

std::string Sha256::hex() {
  const uint64_t bits = total_ * 8;
  std::string padding(1, '\x80');
  padding.append((119 - total_ % 64) % 64, '\0');
  for (int shift = 56; shift >= 0; shift -= 8) padding.push_back(static_cast<char>(bits >> shift));
  update(padding);
  std::string digits;
  for (uint32_t word : state_)
    for (int shift = 28; shift >= 0; shift -= 4) digits.push_back("0123456789abcdef"[(word >> shift) & 15]);
  return digits;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path) {
  return sha256_files({path});
}

std::string sha256_files(const std::vector<std::filesystem::path>& paths) {
  std::vector<char> block(size_t{1} << 20);
  Sha256 hash;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw_io_error(path, "cannot be read", errno);
    while (in) {
      in.read(block.data(), static_cast<std::streamsize>(block.size()));
      hash.update({block.data(), static_cast<size_t>(in.gcount())});
    }
    if (in.bad()) throw_io_error(path, "cannot be read", errno);
  }
  return hash.hex();
}

}  // namespace thalweg
