#include "pipelines/training/state.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/optim/gradients.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

std::string file_of(const std::string& name) {
  return name + ".safetensors";
}

}  // namespace

void numbers(RunState& state, const std::string& name,
             const std::map<std::string, std::vector<double>*>& lists) {
  TensorMap kept;
  for (const auto& [key, list] : lists)
    if (!list->empty()) kept[key] = at::tensor(*list, at::kDouble);
  state.tensors(name, kept);
  if (!state.reads()) return;
  for (const auto& [key, list] : lists) {
    list->clear();
    const auto found = kept.find(key);
    if (found == kept.end()) continue;
    const auto dense = found->second.to(at::kCPU, at::kDouble).contiguous();
    list->assign(dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel());
  }
}

void StateWriter::tensors(const std::string& name, TensorMap& value) {
  TORCH_CHECK(names_.insert(name).second, "two parts of a checkpoint are named ", name);
  if (!value.empty()) write_safetensors(checkpoint_.path(file_of(name)), value);
}

void StateWriter::integer(const std::string& name, int64_t& value) {
  TORCH_CHECK(!json_.contains(name), "two parts of a checkpoint are named ", name);
  json_[name] = value;
}

void StateWriter::number(const std::string& name, double& value) {
  TORCH_CHECK(!json_.contains(name), "two parts of a checkpoint are named ", name);
  json_[name] = std::isfinite(value) ? Json(value) : Json(nullptr);
}

void StateWriter::text(const std::string& name, std::string& value) {
  TORCH_CHECK(!json_.contains(name), "two parts of a checkpoint are named ", name);
  json_[name] = value;
}

StateReader::StateReader(std::filesystem::path checkpoint, at::Device device)
    : checkpoint_(std::move(checkpoint)), device_(device), json_(read_state(checkpoint_)) {}

void StateReader::tensors(const std::string& name, TensorMap& value) {
  const auto path = checkpoint_ / file_of(name);
  value.clear();
  if (std::filesystem::exists(path)) value = moved(cloned(read_safetensors(path).tensors), device_);
}

const Json& StateReader::part(const std::string& name) const {
  const auto it = json_.find(name);
  if (it == json_.end()) throw Error(checkpoint_.string(), "lacks \"" + name + "\"");
  return *it;
}

void StateReader::integer(const std::string& name, int64_t& value) {
  const auto& json = part(name);
  if (!json.is_number_integer()) throw Error(checkpoint_.string(), "\"" + name + "\" is not a whole number");
  value = json.get<int64_t>();
}

void StateReader::number(const std::string& name, double& value) {
  const auto& json = part(name);
  if (json.is_null()) return;
  if (!json.is_number()) throw Error(checkpoint_.string(), "\"" + name + "\" is not a number");
  value = json.get<double>();
}

void StateReader::text(const std::string& name, std::string& value) {
  const auto& json = part(name);
  if (!json.is_string()) throw Error(checkpoint_.string(), "\"" + name + "\" is not a text");
  value = json.get<std::string>();
}

}  // namespace thalweg
