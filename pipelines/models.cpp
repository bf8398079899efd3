#include "pipelines/models.h"

#include <string>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/weights/folder.h"

namespace thalweg {
namespace {

const FamilyRow& family_of(const std::filesystem::path& folder) {
  const auto opened = open_model_folder(folder);
  const auto class_name = opened.index.at("_class_name").get<std::string>();
  std::vector<std::string> known;
  for (const auto& row : family_table()) {
    if (class_name == row.class_name) return row;
    known.emplace_back(row.class_name);
  }
  throw Error((folder / "model_index.json").string(), "_class_name \"" + class_name +
                                                          "\" is not a family that can be loaded" +
                                                          suggestion(class_name, known));
}

}  // namespace

void fill_model(ModelSection& model) {
  if (model.max_sequence_length >= 0) return;
  try {
    model.max_sequence_length = family_of(model.path).max_sequence_length;
  } catch (const Error&) {
  }
}

std::unique_ptr<FlowModel> load_model(const std::filesystem::path& folder, const ModelOptions& options) {
  return family_of(folder).load(folder, options);
}

TensorMap other_backbone(const FlowModel& model, const std::filesystem::path& folder,
                         const ModelOptions& options, const std::string& pointer) {
  const auto other = load_model(folder, options);
  auto masters = other->master_backbone();
  const auto refuse = [&](const std::string& what) {
    throw Error(pointer, folder.string() + " is of another architecture than /model/path: " + what);
  };
  for (const auto& spec : model.specs()) {
    const auto found = masters.find(spec.name);
    if (found == masters.end()) refuse("it has no " + spec.name);
    if (found->second.sizes() != at::IntArrayRef(spec.shape)) refuse(spec.name + " has another shape");
  }
  if (masters.size() != model.specs().size()) refuse("it has more parameters");
  return masters;
}

LoraNames model_lora_names(const std::filesystem::path& folder) {
  return family_of(folder).lora_names(folder);
}

ModelSize model_size(const ModelSection& model, const SizeSection& size, const std::string& pointer) {
  try {
    return family_of(model.path).size(model.path, model.options(), size.height, size.width, size.frames);
  } catch (const Error& e) {
    throw Error(e.place().empty() ? pointer : e.place(), e.message());
  }
}

Schedule planned_schedule(const ScheduleSection& s, const ModelSection& model, int64_t steps,
                          const SizeSection& size) {
  return schedule_of(
      s,
      [&](int64_t n) {
        return family_of(model.path).schedule(model.path, model.options(), n, size.height, size.width);
      },
      steps, size);
}

}  // namespace thalweg
