#include "engine/weights/stored_size.h"

#include <array>
#include <fstream>

#include "engine/core/error.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

StoredSize size_of_file(const fs::path& path) {
  std::error_code ec;
  const uint64_t size = fs::file_size(path, ec);
  std::ifstream file(path, std::ios::binary);
  std::array<unsigned char, 8> prefix{};
  if (ec || size < prefix.size() || !file.read(reinterpret_cast<char*>(prefix.data()), prefix.size()))
    throw Error(path.string(), "is too short for a safetensors file");
  uint64_t length = 0;
  for (size_t i = prefix.size(); i-- > 0;) length = length << 8 | prefix[i];
  if (length > kMaxHeaderBytes || length > size - prefix.size())
    throw Error(path.string(), "has a header that is longer than the file or than the format allows");
  std::string json(length, '\0');
  if (!file.read(json.data(), static_cast<std::streamsize>(length)))
    throw Error(path.string(), "cannot be read");
  StoredSize sum;
  const auto header = parse_safetensors_header(json, size - prefix.size() - length, path.string());
  for (const auto& tensor : header.entries) {
    const auto bytes = static_cast<int64_t>(tensor.end - tensor.begin);
    sum.bytes += bytes;
    sum.parameters += bytes * 8 / static_cast<int64_t>(tensor.dtype->bits);
  }
  return sum;
}

}  // namespace

StoredSize stored_size(const fs::path& folder, const std::string& stem) {
  std::error_code ec;
  std::vector<fs::path> files;
  const auto single = folder / (stem + ".safetensors");
  if (fs::exists(single, ec)) {
    files.push_back(single);
  } else {
    for (const auto& entry : fs::directory_iterator(folder, ec)) {
      const auto name = entry.path().filename().string();
      if (name.starts_with(stem + "-") && name.ends_with(".safetensors")) files.push_back(entry.path());
    }
  }
  if (files.empty()) throw Error(folder.string(), "has no " + stem + ".safetensors and no shards of it");
  StoredSize size;
  for (const auto& file : files) {
    const auto part = size_of_file(file);
    size.parameters += part.parameters;
    size.bytes += part.bytes;
  }
  return size;
}

}  // namespace thalweg
