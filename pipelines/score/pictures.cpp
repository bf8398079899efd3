#include "pipelines/score/pictures.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/natural_order.h"
#include "engine/core/path.h"
#include "engine/io/picture.h"
#include "engine/video/video_reader.h"
#include "engine/weights/safetensors.h"
#include "pipelines/clip.h"
#include "pipelines/prompt_file.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRead[] = {".png", ".jpg", ".jpeg"};
constexpr const char* kNotRead[] = {".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic",
                                    ".jxl",  ".jp2", ".avi", ".wmv",  ".flv",  ".mpg"};

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

void require_size(const fs::path& path, at::IntArrayRef sizes_3HW, at::IntArrayRef wanted_3HW) {
  if (sizes_3HW == wanted_3HW) return;
  throw Error(path.string(), "is " + std::to_string(sizes_3HW[2]) + " x " + std::to_string(sizes_3HW[1]) +
                                 " pixels, another size than the pictures before it");
}

// [n,1,3,H,W] of pictures of that size.
at::Tensor stacked(const std::vector<fs::path>& paths, at::IntArrayRef size_3HW) {
  std::vector<at::Tensor> pictures;
  for (const auto& path : paths) {
    pictures.push_back(read_picture(path));
    require_size(path, pictures.back().sizes(), size_3HW);
  }
  return at::stack(pictures).unsqueeze(1);
}

// [n,F,3,H,W] of clips that are to have one size.
void read_frames(const std::vector<fs::path>& paths, ReadPictures& read) {
  std::vector<at::Tensor> clips;
  for (const auto& path : paths) {
    auto clip = read_clip(path);
    clips.push_back(std::move(clip.frames_F3HW));
    const auto sizes = clips.back().sizes(), wanted = clips.front().sizes();
    require_size(path, sizes.slice(1), wanted.slice(1));
    if (sizes[0] != wanted[0])
      throw Error(path.string(), "has " + std::to_string(sizes[0]) + " frames, the clips before it " +
                                     std::to_string(wanted[0]) + "; those of one job have as many");
    read.fps_B.push_back(clip.fps);
    for (const auto& note : clip.notes) read.notes.push_back(path.filename().string() + ": " + note);
  }
  read.input.frames_BF3HW = at::stack(clips);
}

bool holds_frames(const fs::path& folder) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) return false;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
    if (lower_ending(it->path()) == ".png") return true;
  return false;
}

}  // namespace

std::vector<std::string> ScoredPictures::names() const {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.name);
  return names;
}

ReadPictures ScoredPictures::read(int64_t begin, int64_t end) const {
  const auto from = static_cast<size_t>(begin), to = static_cast<size_t>(end);
  ReadPictures all;
  auto& input = all.input;
  input.prompts.assign(prompts.prompts.begin() + begin, prompts.prompts.begin() + end);
  input.metadata_json.assign(prompts.metadata_json.begin() + begin, prompts.metadata_json.begin() + end);
  if (frames_NF3HW.defined()) {
    input.frames_BF3HW = frames_NF3HW.slice(0, begin, end);
    all.fps_B.resize(to - from, 0.0);
    return all;
  }
  const auto paths_of = [&](fs::path PictureFile::*member) {
    std::vector<fs::path> paths;
    for (size_t i = from; i < to; ++i) paths.push_back(files[i].*member);
    return paths;
  };
  read_frames(paths_of(&PictureFile::path), all);
  const auto size_3HW = input.frames_BF3HW.sizes().slice(2);
  if (!files.front().reference.empty())
    input.reference_BF3HW = stacked(paths_of(&PictureFile::reference), size_3HW);
  if (!files.front().mask.empty())
    input.mask_BF1HW = stacked(paths_of(&PictureFile::mask), size_3HW).mean(2, /*keepdim=*/true);
  return all;
}

ScoredPictures pictures_in(const fs::path& folder, PromptList prompts) {
  ScoredPictures pictures{std::move(prompts), picture_files(folder, "/images"), {}};
  require_one_prompt_each(pictures.size(), static_cast<int64_t>(pictures.files.size()));
  return pictures;
}

std::vector<PictureFile> picture_files(const fs::path& folder, const std::string& place) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error(place, "\"" + folder.string() + "\" is not a folder");
  std::vector<PictureFile> files, clips;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const auto& path = it->path();
    if (ends_with_one_of(path, kNotRead))
      throw Error(
          place, "\"" + path.string() +
                     "\" is neither PNG nor JPEG, nor a video that is read; convert it, or name the pictures "
                     "to score one by one (a job: in a manifest)");
    if (ends_with_one_of(path, kRead) && path.filename() != "grid.png")
      files.push_back({path.filename().string(), path});
    else if (has_video_ending(path) || holds_frames(path))
      clips.push_back({path.filename().string(), path});
  }
  if (ec) throw Error(place, "\"" + folder.string() + "\" cannot be read: " + ec.message());
  const auto video =
      std::find_if(clips.begin(), clips.end(), [](const auto& c) { return has_video_ending(c.path); });
  if (!files.empty() && video != clips.end())
    throw Error(place, "\"" + folder.string() + "\" holds pictures (" + files.front().name +
                           ") and videos (" + video->name +
                           "); name what to score one by one (a job: in a manifest)");
  if (files.empty()) files = std::move(clips);
  if (files.empty())
    throw Error(
        place, "\"" + folder.string() + "\" holds no PNG or JPEG file, and no video or folder of PNG frames");
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
      throw Error(line.place, "has no \"file_name\": the picture or video, relative to " + base.string());
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
