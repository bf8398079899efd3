#include "engine/core/values.h"

#include <ATen/ATen.h>

namespace thalweg {

Conditioning Conditioning::slice(int64_t begin, int64_t end) const {
  Conditioning part;
  part.prompts.assign(prompts.begin() + begin, prompts.begin() + end);
  if (!metadata_json.empty())
    part.metadata_json.assign(metadata_json.begin() + begin, metadata_json.begin() + end);
  for (const auto& [name, tensor] : tensors) part.tensors[name] = tensor.slice(0, begin, end);
  return part;
}

Conditioning Conditioning::select(const std::vector<int64_t>& rows) const {
  Conditioning part;
  for (const int64_t row : rows) {
    part.prompts.push_back(prompts.at(static_cast<size_t>(row)));
    if (!metadata_json.empty()) part.metadata_json.push_back(metadata_json.at(static_cast<size_t>(row)));
  }
  const auto index = at::tensor(rows, at::kLong);
  for (const auto& [name, tensor] : tensors)
    part.tensors[name] = tensor.index_select(0, index.to(tensor.device()));
  return part;
}

Conditioning Conditioning::repeated(int64_t batch) const {
  Conditioning part;
  part.prompts.assign(static_cast<size_t>(batch), prompts.at(0));
  if (!metadata_json.empty()) part.metadata_json.assign(static_cast<size_t>(batch), metadata_json.at(0));
  for (const auto& [name, tensor] : tensors) {
    auto sizes = tensor.sizes().vec();
    sizes.at(0) = batch;
    part.tensors[name] = tensor.slice(0, 0, 1).expand(sizes);
  }
  return part;
}

Conditioning concatenate(const Conditioning& a, const Conditioning& b) {
  Conditioning both = a;
  both.prompts.insert(both.prompts.end(), b.prompts.begin(), b.prompts.end());
  if (a.metadata_json.empty() || b.metadata_json.empty())
    both.metadata_json.clear();
  else
    both.metadata_json.insert(both.metadata_json.end(), b.metadata_json.begin(), b.metadata_json.end());
  for (auto& [name, tensor] : both.tensors) tensor = at::cat({tensor, b.tensors.at(name)});
  return both;
}

}  // namespace thalweg
