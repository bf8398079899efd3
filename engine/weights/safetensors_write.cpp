#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/weights/dtypes.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

struct Part {
  const std::string* name;
  const at::Tensor* tensor;
  const StoredDtype* dtype;
  uint64_t begin, end;
};

/// The order of the data: wide elements first, so that every tensor lies on a multiple of its element.
std::vector<Part> lay_out(const TensorMap& tensors, const std::string& place) {
  std::vector<Part> parts;
  for (const auto& [name, tensor] : tensors) {
    const auto fail = [&, name = name](const std::string& message) {
      throw Error(place, "tensor " + shown_name(name) + " cannot be stored: " + message);
    };
    if (name == "__metadata__") fail("the format keeps that name for itself");
    if (!tensor.defined()) fail("it has no value");
    if (tensor.layout() != at::kStrided) fail("it is not dense");
    const auto* dtype = find_stored_dtype(tensor.scalar_type());
    if (!dtype) fail(std::string("the format has no dtype for ") + at::toString(tensor.scalar_type()));
    parts.push_back({&name, &tensor, dtype, 0, 0});
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.dtype->bits > b.dtype->bits; });
  uint64_t reached = 0;
  for (auto& part : parts) {
    part.begin = reached;
    reached += static_cast<uint64_t>(part.tensor->numel()) * (part.dtype->bits / 8);
    part.end = reached;
  }
  return parts;
}

/// Length and JSON, padded with spaces to a multiple of 8 as the reference writer does.
std::string header_of(std::vector<Part> parts, const Metadata& metadata, const std::string& place) {
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return *a.name < *b.name; });
  const auto quoted = [&](const std::string& text) {
    try {
      return Json(text).dump();
    } catch (const nlohmann::json::exception&) {
      throw Error(place, "a name or metadata text to be stored is not valid UTF-8");
    }
  };
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      json += (json.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
    json += "}";
  }
  for (const auto& part : parts) {
    std::string shape;
    for (const auto size : part.tensor->sizes()) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    json += (json.size() == 1 ? "" : ",") + quoted(*part.name) + ":{\"dtype\":\"" +
            std::string(part.dtype->name) + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
            std::to_string(part.begin) + "," + std::to_string(part.end) + "]}";
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxHeaderBytes)
    throw Error(place, "cannot be written: the header would exceed the format's limit");
  const uint64_t length = json.size();
  std::string header(sizeof length, '\0');
  std::memcpy(header.data(), &length, sizeof length);
  return header + json;
}

void each_stored(const std::vector<Part>& parts, const std::function<void(std::string_view)>& consume) {
  for (const auto& part : parts) {
    // One tensor at a time: a copy from a GPU or of a strided tensor lives no longer than its write.
    const auto flat = part.tensor->detach().to(at::kCPU).contiguous();
    consume({static_cast<const char*>(flat.const_data_ptr()), part.end - part.begin});
  }
}

}  // namespace

void stored_data(const TensorMap& tensors, const std::string& place,
                 const std::function<void(std::string_view)>& consume) {
  each_stored(lay_out(tensors, place), consume);
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const Metadata& metadata) {
  const auto parts = lay_out(tensors, path.string());
  const auto header = header_of(parts, metadata, path.string());
  PendingFile file(path);
  file.write(header);
  each_stored(parts, [&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}

}  // namespace thalweg
