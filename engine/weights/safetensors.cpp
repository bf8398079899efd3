#include "engine/weights/safetensors.h"

#include <ATen/ATen.h>

#include <bit>
#include <cstring>

#include "engine/core/error.h"
#include "engine/weights/mapped_file.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors alias little-endian files");

/// A bool that is neither 0 nor 1 is undefined behaviour wherever it is read.
void check_booleans(const TensorEntry& entry, const std::byte* data, const std::string& place) {
  for (uint64_t i = entry.begin; i < entry.end; ++i)
    if (data[i] > std::byte{1})
      throw Error(place, "tensor " + shown_name(entry.name) + ": a BOOL byte is neither 0 nor 1");
}

at::Tensor tensor_of(const TensorEntry& entry, const std::shared_ptr<MappedFile>& file, std::byte* data,
                     const std::string& place) {
  if (!entry.dtype->dtype)
    throw Error(place, "tensor " + shown_name(entry.name) + " is of dtype " + std::string(entry.dtype->name) +
                           ", which is not supported; convert it to F32, BF16 or F16");
  const auto options = at::dtype(*entry.dtype->dtype);
  if (entry.begin == entry.end) return at::empty(entry.shape, options);
  if (*entry.dtype->dtype == at::kBool) check_booleans(entry, data, place);
  auto* address = data + entry.begin;
  if (reinterpret_cast<uintptr_t>(address) % (entry.dtype->bits / 8) == 0)
    return at::from_blob(
        address, entry.shape, [file](void*) {}, options);
  auto copy = at::empty(entry.shape, options);
  std::memcpy(copy.mutable_data_ptr(), address, entry.end - entry.begin);
  return copy;
}

}  // namespace

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  const auto place = path.string();
  const auto file = MappedFile::open(path);
  uint64_t header_bytes = 0;
  if (file->size() < sizeof header_bytes)
    throw Error(place,
                "is " + std::to_string(file->size()) + " bytes long, too short for a safetensors file");
  std::memcpy(&header_bytes, file->data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes)
    throw Error(place, "its header claims " + std::to_string(header_bytes) +
                           " bytes, above the format's limit of " + std::to_string(kMaxHeaderBytes) +
                           ": not a safetensors file");
  if (header_bytes > file->size() - sizeof header_bytes)
    throw Error(place,
                "its header claims " + std::to_string(header_bytes) + " bytes, more than the file has");
  auto* json = file->data() + sizeof header_bytes;
  auto* data = json + header_bytes;
  const auto data_bytes = file->size() - sizeof header_bytes - header_bytes;
  auto header =
      parse_safetensors_header({reinterpret_cast<const char*>(json), header_bytes}, data_bytes, place);

  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  for (const auto& entry : header.entries) result.tensors[entry.name] = tensor_of(entry, file, data, place);
  return result;
}

}  // namespace thalweg
