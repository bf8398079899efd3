#include "pipelines/methods/teacher.h"

#include <filesystem>

#include "engine/core/error.h"
#include "engine/optim/gradients.h"

namespace thalweg {

void describe_teacher(Fields& f, std::string& folder) {
  f.text({"teacher",
          "folder of the model that is distilled, of the architecture of /model/path; with a LoRA "
          "/model/path itself: the model without it; absent: the reference"},
         folder);
}

void check_teacher(const std::string& folder, const TrainingOptions& options) {
  if (folder.empty()) return;
  for (const auto& path : {folder, folder + "/model_index.json"}) require_file(path, "/method/teacher");
  std::error_code unknown;
  if (options.model.has_lora && !std::filesystem::equivalent(folder, options.model.path, unknown))
    throw Error("/method/teacher",
                "must be /model/path, " + options.model.path + ": roles of a LoRA are over one backbone");
}

Teacher teacher_of(const Training& t, const std::string& folder) {
  const bool base = t.space.is_lora() && (!folder.empty() || t.options.reference == "base");
  auto start = base ? t.space.without_lora() : cloned(t.space.start());
  // In a rehearsal no folder has been read.
  if (folder.empty() || (!base && t.teacher.empty())) return {t.space.reference(), std::move(start)};
  if (!base)
    for (auto& [name, tensor] : start) tensor = t.teacher.at(name).clone();
  return {t.space.bind(start), std::move(start)};
}

}  // namespace thalweg
