#include <ATen/ATen.h>

#include <cstring>
#include <memory>

#include "engine/core/json.h"
#include "engine/weights/safetensors.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {

void safetensors(std::string_view input) {
  const auto* begin = reinterpret_cast<const std::byte*>(input.data());
  const auto bytes = std::make_shared<std::vector<std::byte>>(begin, begin + input.size());
  SafetensorsFile file;
  if (!accepted([&] { file = parse_safetensors(*bytes, bytes, "file"); })) return;

  // Our own scanner took the header: another parser must agree that it is JSON.
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, input.data(), sizeof header_bytes);
  const auto header = input.substr(sizeof header_bytes, header_bytes);
  require(Json::accept(header), "an accepted header is JSON");
  const auto parsed = nlohmann::json::parse(header);
  uint64_t covered = 0;
  for (const auto& [name, tensor] : file.tensors) {
    covered += tensor.nbytes();
    require(parsed.contains(name), "a tensor's name is that of the header");
    const auto shape = parsed.at(name).at("shape").get<std::vector<int64_t>>();
    require(tensor.sizes() == at::IntArrayRef(shape), "a tensor's shape is that of the header");
    if (tensor.numel() > 0) tensor.clone();  // every byte can be read
  }
  require(covered == input.size() - sizeof header_bytes - header_bytes, "the tensors cover the data");
  for (const auto& [key, value] : file.metadata)
    require(parsed.at("__metadata__").at(key) == value, "metadata are those of the header");
  accepted([&] { require_finite(file.tensors, "file"); });
}

}  // namespace thalweg::fuzz
