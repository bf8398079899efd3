#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/names.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxIndexBytes = size_t{4} << 20;  // 20 times the longest in use

bool is_shard_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.size() <= 255 && name.front() != '.' &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

/// Shard name -> names of its tensors.
std::map<std::string, std::set<std::string>> read_index(const fs::path& path) {
  const auto index = parse_json_file(path, kMaxIndexBytes);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty())
    throw Error(path.string(), "has no \"weight_map\" from tensor names to files");
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string())
      throw Error(path.string(), "the file of tensor " + shown_name(name) + " is not a text");
    const auto& file = shard.get_ref<const std::string&>();
    if (!is_shard_name(file))
      throw Error(path.string(),
                  shown_name(file) +
                      " is not the name of a .safetensors file beside the index: shards may not lie "
                      "elsewhere");
    shards[file].insert(name);
  }
  return shards;
}

TensorMap read_shards(const fs::path& folder, const fs::path& index) {
  TensorMap tensors;
  for (const auto& [shard, names] : read_index(index)) {
    const auto path = folder / shard;
    std::error_code ec;
    if (!fs::exists(path, ec))
      throw Error(path.string(), "no such file, though " + index.filename().string() + " names it");
    auto file = read_safetensors(path);
    require_finite(file.tensors, path.string());
    for (const auto& name : names)
      if (!file.tensors.count(name))
        throw Error(path.string(), "lacks tensor " + shown_name(name) + ", which the index places there");
    for (auto& [name, tensor] : file.tensors) {
      if (!names.count(name))
        throw Error(path.string(),
                    "holds tensor " + shown_name(name) + ", which the index does not place there");
      tensors.emplace(name, std::move(tensor));
    }
  }
  return tensors;
}

/// Why nothing was found, from what the folder holds instead.
[[noreturn]] void refuse(const fs::path& folder, const std::string& stem) {
  std::vector<std::string> pickled, others;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder, ec)) {
    const auto name = entry.path().filename().string();
    const auto extension = entry.path().extension().string();
    if (extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt")
      pickled.push_back(name);
    if (extension == ".safetensors") others.push_back(name);
  }
  std::sort(pickled.begin(), pickled.end());
  std::sort(others.begin(), others.end());
  if (!others.empty())
    throw Error(folder.string(), "has " + join(others) + " but not " + stem +
                                     ".safetensors or its index; rename the "
                                     "file to be used");
  if (!pickled.empty())
    throw Error(folder.string(),
                "has only " + join(pickled) +
                    ": pickled weights are never opened, for they can run code. Convert them "
                    "where you trust them: python -c \"import diffusers; "
                    "diffusers.DiffusionPipeline.from_pretrained('IN')"
                    ".save_pretrained('OUT', safe_serialization=True)\"");
  throw Error(folder.string(), "has no " + stem + ".safetensors and no " + stem + ".safetensors.index.json");
}

}  // namespace

std::vector<fs::path> weight_files(const fs::path& folder, const std::string& stem) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error(folder.string(), "no such folder");
  const auto single = folder / (stem + ".safetensors");
  if (fs::exists(single, ec)) return {single};
  const auto index = folder / (stem + ".safetensors.index.json");
  if (!fs::exists(index, ec)) refuse(folder, stem);
  std::vector<fs::path> files = {index};
  for (const auto& [shard, names] : read_index(index)) files.push_back(folder / shard);
  return files;
}

TensorMap read_weights(const fs::path& folder, const std::string& stem) {
  const auto first = weight_files(folder, stem).front();
  if (first.extension() == ".json") return read_shards(folder, first);
  auto tensors = read_safetensors(first).tensors;
  require_finite(tensors, first.string());
  return tensors;
}

}  // namespace thalweg
