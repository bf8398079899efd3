// What a resumed run needs, described once: one function per object names its parts, and the same function
// writes them into a checkpoint and reads them back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "engine/core/values.h"
#include "engine/io/checkpoint.h"

namespace thalweg {

class RunState {
 public:
  virtual ~RunState() = default;
  /// Whether parts are read: an object that keeps more than what it names rebuilds the rest then.
  virtual bool reads() const = 0;
  /// The file NAME.safetensors; none when the map is empty.
  virtual void tensors(const std::string& name, TensorMap& value) = 0;
  virtual void integer(const std::string& name, int64_t& value) = 0;
  /// One that is not finite is written as null, and read as what `value` was before.
  virtual void number(const std::string& name, double& value) = 0;
  virtual void text(const std::string& name, std::string& value) = 0;
};

/// Lists of numbers by their name, as the part `name`; an empty list is left out. Bit for bit, NaN too.
void numbers(RunState& state, const std::string& name,
             const std::map<std::string, std::vector<double>*>& lists);

/// Writes tensors at once, and collects the numbers for CheckpointWriter::commit(). Asserts that names are
/// new.
class StateWriter final : public RunState {
 public:
  explicit StateWriter(const CheckpointWriter& checkpoint) : checkpoint_(checkpoint) {}

  bool reads() const override { return false; }
  void tensors(const std::string& name, TensorMap& value) override;
  void integer(const std::string& name, int64_t& value) override;
  void number(const std::string& name, double& value) override;
  void text(const std::string& name, std::string& value) override;
  const Json& json() const { return json_; }

 private:
  const CheckpointWriter& checkpoint_;
  Json json_ = Json::object();
  std::set<std::string> names_;  // of tensors
};

/// Tensors are copies on `device`. Throws Error naming the checkpoint for a part that it lacks.
class StateReader final : public RunState {
 public:
  StateReader(std::filesystem::path checkpoint, at::Device device);

  bool reads() const override { return true; }
  void tensors(const std::string& name, TensorMap& value) override;
  void integer(const std::string& name, int64_t& value) override;
  void number(const std::string& name, double& value) override;
  void text(const std::string& name, std::string& value) override;

 private:
  const Json& part(const std::string& name) const;

  std::filesystem::path checkpoint_;
  at::Device device_;
  Json json_;
};

}  // namespace thalweg
