#include "engine/weights/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
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

/// LibTorch multiplies sizes into strides and counts, a size of 0 as 1, and does not look for overflow
/// everywhere.
void check_strides(const std::vector<int64_t>& shape, const TensorEntry& entry, const std::string& place) {
  int64_t bytes = static_cast<int64_t>(entry.dtype->bits / 8);
  for (const auto size : shape)
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes))
      throw Error(place, "tensor " + shown_name(entry.name) +
                             ": is empty, but its other sizes are too large for any tensor");
}

at::Tensor tensor_of(const TensorEntry& entry, const std::vector<int64_t>& shape, std::byte* data,
                     const std::shared_ptr<const void>& owner, const std::string& place) {
  if (!entry.dtype->dtype)
    throw Error(place, "tensor " + shown_name(entry.name) + " is of dtype " + std::string(entry.dtype->name) +
                           ", which is not supported; convert it to F32, BF16 or F16");
  check_strides(shape, entry, place);
  const auto options = at::dtype(*entry.dtype->dtype);
  if (entry.begin == entry.end) return at::empty(shape, options);
  if (*entry.dtype->dtype == at::kBool) check_booleans(entry, data, place);
  auto* address = data + entry.begin;
  if (reinterpret_cast<uintptr_t>(address) % (entry.dtype->bits / 8) == 0)
    return at::from_blob(
        address, shape, [owner](void*) {}, options);
  auto copy = at::empty(shape, options);
  std::memcpy(copy.mutable_data_ptr(), address, entry.end - entry.begin);
  return copy;
}

}  // namespace

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  auto result = parse_safetensors({file->data(), file->size()}, file, path.string());
  file->require_same_size();
  return result;
}

SafetensorsFile parse_safetensors(std::span<std::byte> bytes, const std::shared_ptr<const void>& owner,
                                  const std::string& place) {
  const auto json = header_text(bytes, place);
  const auto data = bytes.subspan(sizeof(uint64_t) + json.size());
  auto header = parse_safetensors_header(json, data.size(), place);

  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  for (const auto& entry : header.entries)
    result.tensors[std::string(entry.name)] =
        tensor_of(entry, shape_of(entry, json), data.data(), owner, place);
  return result;
}

void require_finite(const TensorMap& tensors, const std::string& place) {
  for (const auto& [name, tensor] : tensors) {
    if (!at::isFloatingType(tensor.scalar_type()) || tensor.numel() == 0) continue;
    const bool narrow = tensor.element_size() == 1;
    const auto [low, high] = at::aminmax(narrow ? tensor.to(at::kFloat) : tensor);
    if (!std::isfinite(low.item<double>()) || !std::isfinite(high.item<double>()))
      throw Error(place, "tensor " + shown_name(name) + " holds NaN or infinity");
  }
}

}  // namespace thalweg
