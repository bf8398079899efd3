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

fs::path single_name(const std::string& stem, const std::string& variant) {
  return stem + (variant.empty() ? "" : "." + variant) + ".safetensors";
}

fs::path index_name(const std::string& stem, const std::string& variant) {
  return stem + ".safetensors.index" + (variant.empty() ? "" : "." + variant) + ".json";
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

/// "fp16" of "stem.fp16.safetensors", "stem.fp16-00001-of-00002.safetensors" and
/// "stem.safetensors.index.fp16.json"; empty for any other name.
std::string variant_in(const std::string& name, const std::string& stem) {
  const auto between = [&](const std::string& begin, const std::string& end) -> std::string {
    if (!name.starts_with(begin) || !name.ends_with(end) || name.size() <= begin.size() + end.size())
      return {};
    const auto middle = name.substr(begin.size(), name.size() - begin.size() - end.size());
    return middle.substr(0, middle.find("-00"));
  };
  auto variant = between(stem + ".safetensors.index.", ".json");
  if (variant.empty()) variant = between(stem + ".", ".safetensors");
  return variant.find('.') == std::string::npos ? variant : "";
}

/// How to make safetensors of the pickled files in `folder`, in one line for whoever trusts them.
std::string conversion(const fs::path& folder, const std::vector<std::string>& pickled) {
  const std::string python = ". Convert them where you trust them: python -c \"";
  const auto& first = pickled.front();
  if (first.ends_with(".ckpt"))
    return python + "from diffusers import StableDiffusion3Pipeline as P; P.from_single_file('" + first +
           "').save_pretrained('OUT')\" (or FluxPipeline)";
  std::error_code ec;
  if (fs::exists(folder.parent_path() / "model_index.json", ec)) {
    const auto end = first.find(".fp16.") != std::string::npos ? "', variant='fp16')" : "')";
    return python + "import diffusers; diffusers.DiffusionPipeline.from_pretrained('" +
           folder.parent_path().string() + end + ".save_pretrained('OUT')\", and name OUT in the job";
  }
  return python + "import transformers; transformers.AutoModel.from_pretrained('" + folder.string() +
         "').save_pretrained('" + folder.string() + "')\"";
}

/// Why nothing was found, from what the folder holds instead.
[[noreturn]] void refuse(const fs::path& folder, const std::string& stem, const std::string& variant) {
  std::vector<std::string> pickled, others;
  std::set<std::string> variants;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder, ec)) {
    const auto name = entry.path().filename().string();
    const auto extension = entry.path().extension().string();
    if (extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt")
      pickled.push_back(name);
    if (extension == ".safetensors") others.push_back(name);
    if (auto other = variant_in(name, stem); !other.empty()) variants.insert(std::move(other));
  }
  std::sort(pickled.begin(), pickled.end());
  std::sort(others.begin(), others.end());
  const auto wanted = single_name(stem, variant).string();
  if (variant.empty() && !variants.empty())
    throw Error(folder.string(), "has the weights as the variant " +
                                     join({variants.begin(), variants.end()}, "\" or \"") +
                                     " alone, not as " + wanted + "; ask for it: \"variant\": \"" +
                                     *variants.begin() + "\" in the job's \"model\"");
  if (!others.empty())
    throw Error(folder.string(), "has " + join(others) + " but not " + wanted + " or its index; rename the " +
                                     "file to be used");
  if (!pickled.empty())
    throw Error(folder.string(), "has only " + join(pickled) +
                                     ": pickled weights are never opened, for they can run code" +
                                     conversion(folder, pickled));
  throw Error(folder.string(), "has no " + wanted + " and no " + index_name(stem, variant).string());
}

}  // namespace

bool has_variant(const fs::path& folder, const std::string& stem, const std::string& variant) {
  std::error_code ec;
  return fs::exists(folder / single_name(stem, variant), ec) ||
         fs::exists(folder / index_name(stem, variant), ec);
}

std::vector<fs::path> weight_files(const fs::path& folder, const std::string& stem,
                                   const std::string& variant) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error(folder.string(), "no such folder");
  const auto single = folder / single_name(stem, variant);
  if (fs::exists(single, ec)) return {single};
  const auto index = folder / index_name(stem, variant);
  if (!fs::exists(index, ec)) refuse(folder, stem, variant);
  std::vector<fs::path> files = {index};
  for (const auto& [shard, names] : read_index(index)) files.push_back(folder / shard);
  return files;
}

TensorMap read_weights(const fs::path& folder, const std::string& stem, const std::string& variant) {
  const auto first = weight_files(folder, stem, variant).front();
  if (first.extension() == ".json") return read_shards(folder, first);
  auto tensors = read_safetensors(first).tensors;
  require_finite(tensors, first.string());
  return tensors;
}

}  // namespace thalweg
