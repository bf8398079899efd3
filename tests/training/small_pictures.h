// Grey pictures of 2 x 2 pixels in a folder with their .jsonl file, for methods that train on pictures.
#pragma once

#include <fstream>

#include "engine/io/image.h"
#include "pipelines/prompt_file.h"
#include "tests/io/scratch.h"
#include "tests/training/small_training.h"

namespace thalweg {

inline void write_grey(const std::filesystem::path& path, double level, int64_t height = 2,
                       int64_t width = 2) {
  write_png(path, at::full({3, height, width}, level, at::kFloat));
}

class SmallPictures {
 public:
  /// One line of the .jsonl file a text.
  void write_lines(const std::vector<std::string>& lines) const {
    std::ofstream file(lines_path());
    for (const auto& line : lines) file << line << "\n";
  }
  std::filesystem::path lines_path() const { return scratch_ / "pictures.jsonl"; }
  std::filesystem::path operator/(const std::string& name) const { return scratch_ / name; }

  static TrainingOptions options(TrainingOptions o = SmallTraining::default_options()) {
    o.sampler.size = {.height = 2, .width = 2};
    return o;
  }

  /// Parts of a run whose training prompts are the lines.
  TrainingParts parts(const PictureSource& source) const {
    auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
    parts.prompts = {};
    for (auto& line : read_prompt_lines({lines_path(), "/prompts/train"})) {
      parts.prompts.list.prompts.push_back(line.prompt);
      parts.prompts.list.metadata_json.push_back(line.metadata_json);
      parts.prompts.conditioning.prompts.push_back(line.prompt);
    }
    Workers workers(2);
    parts.pictures = encode_pictures(*parts.model, picture_files({lines_path(), "/prompts/train"}, source),
                                     source, options().sampler.size, workers, {});
    return parts;
  }

 private:
  Scratch scratch_;
};

}  // namespace thalweg
