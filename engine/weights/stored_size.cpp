#include "engine/weights/stored_size.h"

#include "engine/weights/mapped_file.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

// Only the header's pages of the file are touched.
StoredSize size_of_file(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto json = header_text({file->data(), file->size()}, path.string());
  StoredSize sum;
  const auto data_bytes = file->size() - sizeof(uint64_t) - json.size();
  for (const auto& tensor : parse_safetensors_header(json, data_bytes, path.string()).entries) {
    const auto bytes = static_cast<int64_t>(tensor.end - tensor.begin);
    sum.bytes += bytes;
    sum.parameters += bytes * 8 / static_cast<int64_t>(tensor.dtype->bits);
  }
  return sum;
}

}  // namespace

StoredSize stored_size(const std::vector<std::filesystem::path>& weights) {
  StoredSize size;
  for (const auto& file : weights) {
    if (file.extension() != ".safetensors") continue;  // the index of shards, a config
    const auto part = size_of_file(file);
    size.parameters += part.parameters;
    size.bytes += part.bytes;
  }
  return size;
}

}  // namespace thalweg
