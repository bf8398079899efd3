#include "pipelines/training/state.h"

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
