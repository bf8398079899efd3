#include "pipelines/training/picture_set.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "engine/core/ceil_div.h"
#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/models/vision/resample.h"
#include "pipelines/clip.h"
#include "pipelines/prompt_file.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrompts = "/prompts/train";

/// Lines of one call of the encoder. Part of the numbers: a convolution over more rows may round otherwise.
/// Clips are large.
int64_t lines_at_once(const SizeSection& size) {
  return size.frames == 1 ? 8 : 1;
}

std::string pixels(int64_t width, int64_t height) {
  return std::to_string(width) + " x " + std::to_string(height) + " pixels";
}

// [F,3,H,W].
at::Tensor fitting(const fs::path& path, const PictureSource& source, const SizeSection& size) {
  const auto frames = read_clip(path).frames_F3HW;
  if (frames.size(0) != size.frames)
    throw Error(path.string(), "has " + std::to_string(frames.size(0)) +
                                   (frames.size(0) == 1 ? " frame" : " frames") +
                                   ", and /sampler/frames is " + std::to_string(size.frames));
  if (source.fit == "crop") return cropped(frames, size.height, size.width);
  if (frames.size(2) != size.height || frames.size(3) != size.width)
    throw Error(path.string(), "is " + pixels(frames.size(3), frames.size(2)) +
                                   ", and /sampler/width and height are " + pixels(size.width, size.height) +
                                   "; set \"fit\" to \"crop\", or make them agree");
  return frames;
}

void require_finite(const at::Tensor& latents_BCFHW, const std::vector<fs::path>& paths) {
  const auto finite_B = latents_BCFHW.isfinite().flatten(1).all(1);
  for (size_t i = 0; i < paths.size(); ++i)
    if (!finite_B[static_cast<int64_t>(i)].item<bool>())
      throw Error(paths[i].string(), "has latents that are not finite; try \"vae_dtype\": \"float32\"");
}

}  // namespace

void describe(Fields& f, PictureSource& s) {
  f.text({"folder", "names of pictures are relative to it; empty: to the folder of /prompts/train"},
         s.folder);
  f.choice({"fit",
            "pictures of another size than /sampler/height and width: exact refuses them, crop resizes them "
            "until both sides suffice and cuts around the centre"},
           s.fit, {"exact", "crop"});
}

PictureFiles picture_files(const PromptFile& train_prompts, const PictureSource& source) {
  require_json_lines(train_prompts.path, kPrompts);
  const auto base =
      source.folder.empty() ? fs::path(train_prompts.path).parent_path() : fs::path(source.folder);
  PictureFiles files;
  for (const auto& line : read_prompt_lines(train_prompts)) {
    auto& of_line = files.of_line.emplace_back();
    for (const auto& key : source.keys) {
      const auto name = file_of(line, key.c_str());
      if (name.empty())
        throw Error(line.place, "has no \"" + key + "\": a picture, relative to " + base.string());
      of_line.push_back(base / name);
      std::error_code ec;
      if (!fs::is_regular_file(of_line.back(), ec))
        throw Error(line.place, "\"" + key + "\": " + of_line.back().string() + " is not there");
      files.inputs.push_back(
          {std::string(kPrompts) + "/" + std::to_string(files.of_line.size() - 1) + "/" + key,
           of_line.back()});
    }
  }
  return files;
}

PictureSet encode_pictures(const FlowModel& model, const PictureFiles& files, const PictureSource& source,
                           const SizeSection& size, Workers& workers, const Observer& observer) {
  const auto total = static_cast<int64_t>(files.of_line.size()), each = lines_at_once(size);
  std::vector<at::Tensor> chunks(static_cast<size_t>(ceil_div(total, each)));
  std::mutex mutex;
  int64_t done = 0;
  workers.for_each(static_cast<int64_t>(chunks.size()), [&](int64_t c) {
    if (observer.stop_requested()) throw Stopped{};
    const c10::NoGradGuard no_grad;
    const auto begin = c * each, end = std::min(begin + each, total);
    std::vector<fs::path> paths;
    for (auto i = begin; i < end; ++i)
      for (const auto& path : files.of_line[static_cast<size_t>(i)]) paths.push_back(path);
    std::vector<at::Tensor> pictures;
    for (const auto& path : paths) pictures.push_back(fitting(path, source, size));
    const auto latents = model.encode_frames(on_device(at::stack(pictures), model.device())).cpu();
    require_finite(latents, paths);
    chunks[static_cast<size_t>(c)] =
        latents.unflatten(0, {end - begin, static_cast<int64_t>(source.keys.size())});
    const std::lock_guard lock(mutex);
    done += end - begin;
    observer.progress("pictures", done, total, {});
  });
  return {at::cat(chunks)};
}

at::Tensor cropped(const at::Tensor& frames_F3HW, int64_t height, int64_t width) {
  const auto h = frames_F3HW.size(2), w = frames_F3HW.size(3);
  const double scale = std::max(static_cast<double>(height) / static_cast<double>(h),
                                static_cast<double>(width) / static_cast<double>(w));
  const auto axis = [scale](int64_t from, int64_t wanted) {
    const auto to = std::max(wanted, static_cast<int64_t>(std::llround(scale * static_cast<double>(from))));
    const auto begin = (to - wanted) / 2;
    return ResampleAxis{from, to, begin, begin + wanted};
  };
  const auto planes =
      resample(frames_F3HW.flatten(0, 1), ResampleFilter::bicubic, axis(h, height), axis(w, width));
  return planes.clamp(0.0, 1.0).unflatten(0, {frames_F3HW.size(0), 3});
}

}  // namespace thalweg
