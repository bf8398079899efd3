#include "pipelines/score/pictures.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/natural_order.h"
#include "engine/core/path.h"
#include "engine/io/picture.h"
#include "engine/weights/safetensors.h"
#include "pipelines/prompt_file.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRead[] = {".png", ".jpg", ".jpeg"};
constexpr const char* kNotRead[] = {".webp", ".gif",  ".bmp", ".tif", ".tiff",
                                    ".avif", ".heic", ".jxl", ".jp2"};

template <typename Endings>
bool ends_with_one_of(const fs::path& path, const Endings& endings) {
  const auto ending = lower_ending(path);
  return std::find(std::begin(endings), std::end(endings), ending) != std::end(endings);
}

void require_one_prompt_each(int64_t prompts, int64_t pictures) {
  if (prompts != pictures)
    throw Error("/prompts", std::to_string(prompts) + " prompts for " + std::to_string(pictures) +
                                " pictures; a manifest says which belongs to which");
}

// [n,1,3,H,W] of files that are to have one size.
at::Tensor stacked(const std::vector<fs::path>& paths, at::IntArrayRef size_3HW) {
  std::vector<at::Tensor> pictures;
  for (const auto& path : paths) {
    pictures.push_back(read_picture(path));
    const auto sizes = pictures.back().sizes();
    if (sizes != (size_3HW.empty() ? pictures.front().sizes() : size_3HW)) {
      const auto side = [&](size_t d) { return std::to_string(sizes[d]); };
      throw Error(path.string(),
                  "is " + side(2) + " x " + side(1) + " pixels, another size than the pictures before it");
    }
  }
  return at::stack(pictures).unsqueeze(1);
}

}  // namespace

std::vector<std::string> ScoredPictures::names() const {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.name);
  return names;
}

ScoreInput ScoredPictures::input(int64_t begin, int64_t end) const {
  const auto from = static_cast<size_t>(begin), to = static_cast<size_t>(end);
  ScoreInput input;
  input.prompts.assign(prompts.prompts.begin() + begin, prompts.prompts.begin() + end);
  input.metadata_json.assign(prompts.metadata_json.begin() + begin, prompts.metadata_json.begin() + end);
  if (frames_NF3HW.defined()) {
    input.frames_BF3HW = frames_NF3HW.slice(0, begin, end);
    return input;
  }
  const auto read = [&](fs::path PictureFile::*member, at::IntArrayRef size_3HW) {
    std::vector<fs::path> paths;
    for (size_t i = from; i < to; ++i) paths.push_back(files[i].*member);
    return stacked(paths, size_3HW);
  };
  input.frames_BF3HW = read(&PictureFile::path, {});
  const auto size_3HW = input.frames_BF3HW.sizes().slice(2);
  if (!files.front().reference.empty()) input.reference_BF3HW = read(&PictureFile::reference, size_3HW);
  if (!files.front().mask.empty())
    input.mask_BF1HW = read(&PictureFile::mask, size_3HW).mean(2, /*keepdim=*/true);
  return input;
}

ScoredPictures pictures_in(const fs::path& folder, PromptList prompts) {
  ScoredPictures pictures{std::move(prompts), picture_files(folder, "/images"), {}};
  require_one_prompt_each(pictures.size(), static_cast<int64_t>(pictures.files.size()));
  return pictures;
}

std::vector<PictureFile> picture_files(const fs::path& folder, const std::string& place) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error(place, "\"" + folder.string() + "\" is not a folder");
  std::vector<PictureFile> files;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const auto& path = it->path();
    if (ends_with_one_of(path, kNotRead))
      throw Error(place,
                  "\"" + path.string() +
                      "\" is neither PNG nor JPEG; convert it, or name the pictures to score one by one "
                      "(a job: in a manifest)");
    if (ends_with_one_of(path, kRead) && path.filename() != "grid.png")
      files.push_back({path.filename().string(), path});
  }
  if (ec) throw Error(place, "\"" + folder.string() + "\" cannot be read: " + ec.message());
  if (files.empty()) throw Error(place, "\"" + folder.string() + "\" holds no PNG or JPEG file");
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return natural_less(a.name, b.name); });
  return files;
}

ScoredPictures pictures_of_manifest(const std::string& manifest, const fs::path& folder) {
  require_json_lines(manifest, "/manifest");
  const auto base = folder.empty() ? fs::path(manifest).parent_path() : folder;
  ScoredPictures pictures;
  for (auto& line : read_prompt_lines({manifest, "/manifest"})) {
    PictureFile file{file_of(line, "file_name"), {}};
    if (file.name.empty())
      throw Error(line.place, "has no \"file_name\": the picture, relative to " + base.string());
    file.path = base / file.name;
    for (const auto& [key, member] :
         {std::pair{"reference", &PictureFile::reference}, std::pair{"mask", &PictureFile::mask}}) {
      if (const auto name = file_of(line, key); !name.empty()) file.*member = base / name;
      if (!pictures.files.empty() && (file.*member).empty() != (pictures.files.front().*member).empty())
        throw Error(line.place, "either all lines have a \"" + std::string(key) + "\" or none");
    }
    pictures.files.push_back(std::move(file));
    pictures.prompts.prompts.push_back(std::move(line.prompt));
    pictures.prompts.metadata_json.push_back(std::move(line.metadata_json));
  }
  return pictures;
}

ScoredPictures saved_frames(const std::string& path, PromptList prompts) {
  const auto file = read_safetensors(path);
  const auto it = file.tensors.find("frames");
  if (it == file.tensors.end() || it->second.dim() != 5 || it->second.size(2) != 3 || it->second.numel() == 0)
    throw Error(path, "must hold a tensor frames [N,F,3,H,W], none of them 0");
  require_finite(file.tensors, path);
  ScoredPictures pictures{std::move(prompts), {}, it->second.to(at::kFloat)};
  require_one_prompt_each(pictures.size(), pictures.frames_NF3HW.size(0));
  return pictures;
}

}  // namespace thalweg
