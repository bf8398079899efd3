#include "pipelines/align/export.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "engine/core/ceil_div.h"
#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/io/checkpoint.h"
#include "engine/optim/gradients.h"
#include "engine/weights/lora_file.h"
#include "pipelines/align/few_step.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLoraName = "pytorch_lora_weights.safetensors";
constexpr const char* kHeadsName = "heads";
constexpr const char* kModelName = "model";
constexpr const char* kUnfinishedName = ".model.tmp";

double bytes_of(const TensorMap& tensors) {
  double bytes = 0.0;
  for (const auto& [name, tensor] : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

double bytes_below(const fs::path& folder) {
  double bytes = 0.0;
  std::error_code ec;
  for (const auto& entry : entries_below(folder))
    if (const auto size = fs::file_size(entry, ec); !ec) bytes += static_cast<double>(size);
  return bytes;
}

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GB", bytes / 1e9);
  return text;
}

bool has_blocks(const AlignContext& c) {
  const auto& t = c.training;
  return !exported_blocks({c.options, *t.model, t.space, trained_rewards(*t.rewards)}).empty();
}

double export_bytes(const AlignContext& c) {
  const auto& t = c.training;
  const auto stored = static_cast<double>(c10::elementSize(dtype_named(c.options.export_.dtype)));
  double bytes = bytes_of(t.policy.parameters()) * stored / static_cast<double>(sizeof(float));
  if (!t.space.is_lora()) bytes += static_cast<double>(readable_bytes(t.model->files()));
  return has_blocks(c) ? 2.0 * bytes : bytes;
}

double checkpoint_bytes(const Training& t) {
  double bytes = bytes_of(t.policy.parameters());  // the best so far
  for (const auto& role : t.roles.all())
    bytes +=
        bytes_of(role->parameters()) * (1.0 + (role->learns() ? 2.0 : 0.0) + (role->averaged() ? 1.0 : 0.0));
  return bytes;
}

void require_room(const AlignContext& c, const RunProgress& progress) {
  const auto& o = c.options;
  const int64_t left = o.iterations - progress.next;
  // Beside those that are kept: that of the best evaluation, and the newest before an older one goes.
  const int64_t count = left == 0 ? 0 : std::min(o.checkpoint.keep, ceil_div(left, o.checkpoint.every)) + 2;
  const double each = checkpoint_bytes(c.training), weights = export_bytes(c);
  double there = 0.0;
  for (const auto& checkpoint : list_checkpoints(o.output)) there += bytes_below(checkpoint);
  const double needed = std::max(0.0, static_cast<double>(count) * each - there) + weights;
  std::error_code ec;
  const auto room = fs::space(o.output, ec);
  if (ec || static_cast<double>(room.available) >= needed) return;
  throw IoError(o.output, "the disk is full, or will be: it has " +
                              gigabytes(static_cast<double>(room.available)) + " left, and this run needs " +
                              gigabytes(needed) + " more: up to " + std::to_string(count) +
                              " checkpoints of " + gigabytes(each) + " each and " + gigabytes(weights) +
                              " of weights in the end. Make room, lower /checkpoint/keep, or choose a folder "
                              "elsewhere");
}

/// Nothing but what an earlier run of this folder wrote may bear the name.
void require_name(const fs::path& path, fs::file_type type) {
  std::error_code ec;
  const auto found = fs::symlink_status(path, ec).type();
  if (found != type && found != fs::file_type::not_found)
    throw Error("/output", "\"" + path.string() +
                               "\" is in the way of the weights that this run is to write: " +
                               (type == fs::file_type::directory ? "no folder" : "no file"));
}

/// A folder for each block. Two names that become one are told apart by a number.
std::vector<std::string> folder_names(const std::vector<LoraBlock>& blocks) {
  std::vector<std::string> names;
  for (const auto& block : blocks) {
    auto name = block.name;
    for (auto& c : name)
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
    const auto plain = name;
    for (int64_t n = 2; std::find(names.begin(), names.end(), name) != names.end(); ++n)
      name = plain + "-" + std::to_string(n);
    names.push_back(std::move(name));
  }
  return names;
}

void write_loras(const fs::path& folder, const TrainedModel& trained, const TensorMap& stored,
                 int64_t iteration) {
  const auto& targets = trained.space.lora().targets;
  const auto& strength = trained.space.strength();
  const auto metadata = lora_metadata(trained, stored, iteration);
  write_lora(folder / kLoraName, stored, strength, targets, metadata);
  if (trained.generator) write_generator(folder, trained.model, *trained.generator);
  const auto blocks = exported_blocks(trained);
  const auto names = folder_names(blocks);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto home = folder / kHeadsName / names[i];
    const auto part = block_of(stored, blocks[i]);
    std::error_code ec;
    fs::create_directories(home, ec);
    if (ec) throw_io_error(home, "cannot be created", ec.value());
    write_lora(home / kLoraName, part, strength_of(strength, blocks[i]), targets,
               block_metadata(metadata, trained, part, blocks[i]));
    if (trained.generator) write_generator(home, trained.model, *trained.generator);
  }
}

}  // namespace

TensorMap exported_parameters(const PolicySpace& space, const TensorMap& parameters,
                              const ExportSection& as) {
  auto exported = space.exported(parameters, dtype_named(as.dtype));
  for (const auto& [name, tensor] : exported)
    if (!at::isfinite(tensor).all().item<bool>())
      throw Error("/export/dtype", "parameter " + name + " does not fit into " + as.dtype +
                                       "; write \"float32\" or \"bfloat16\"");
  return exported;
}

void check_export(const AlignContext& c, const RunProgress& progress) {
  const auto& t = c.training;
  const fs::path folder = c.options.output;
  if (t.model->latent_dtype() == at::kDouble && c.options.export_.dtype != "float32")
    throw Error("/export/dtype",
                "has no meaning for this model, whose parameters are written in float64; leave it out");
  if (t.space.is_lora()) {
    require_name(folder / kLoraName, fs::file_type::regular);
    if (has_blocks(c)) require_name(folder / kHeadsName, fs::file_type::directory);
    if (c.generator) require_name(folder / "scheduler", fs::file_type::directory);
  } else {
    require_name(folder / kModelName, fs::file_type::directory);
    remove_path(folder / kUnfinishedName);
  }
  require_room(c, progress);
}

void write_weights(const fs::path& folder, const TrainedModel& trained, const TensorMap& exported,
                   int64_t iteration) {
  const auto dtype = dtype_named(trained.options.export_.dtype);
  if (trained.space.is_lora()) {
    write_loras(folder, trained, cast(exported, dtype), iteration);
    return;
  }
  const auto whole = folder / kUnfinishedName;
  remove_path(whole);
  try {
    trained.model.save(whole, exported, dtype);
    if (trained.generator) write_generator(whole, trained.model, *trained.generator);
    sync_tree(whole);
  } catch (...) {  // half a model helps nobody, and may be what fills the disk
    std::error_code ec;
    fs::remove_all(whole, ec);
    throw;
  }
  replace_folder(whole, folder / kModelName);
}

}  // namespace thalweg
