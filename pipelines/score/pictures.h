// What a `score` job scores: pictures or clips of a folder, of a manifest, or saved frames, with a prompt
// each.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipelines/sections.h"
#include "rewards/score_input.h"

namespace thalweg {

struct PictureFile {
  std::string name;  // as the folder or the manifest has it
  std::filesystem::path path;
  std::filesystem::path reference = {}, mask = {};  // empty: none
};

/// Of some pictures, as rewards take them.
struct ReadPictures {
  ScoreInput input;                // without a rate
  std::vector<double> fps_B;       // of videos; 0: none is known
  std::vector<std::string> notes;  // "clip.gif: its frame rate varies ..."
};

struct ScoredPictures {
  PromptList prompts;
  std::vector<PictureFile> files;  // none: frames
  at::Tensor frames_NF3HW;

  int64_t size() const { return static_cast<int64_t>(prompts.prompts.size()); }
  /// Of each picture; none of frames.
  std::vector<std::string> names() const;
  /// Tensors, prompts and metadata of pictures begin .. end - 1. Throws Error naming the file for one that
  /// cannot be read, or is of another size than the others, or of another number of frames.
  ReadPictures read(int64_t begin, int64_t end) const;
};

/// The PNG and JPEG files of a folder (endings in any case; not grid.png), or, where there is no such file,
/// its clips: videos, and folders of PNG frames. In the order of the numbers in their names. Throws Error at
/// `place` for a picture of another format, for pictures and videos in one folder, or where there is nothing.
std::vector<PictureFile> picture_files(const std::filesystem::path& folder, const std::string& place);

/// Those, as picture_files() has them for /images. Throws Error at /prompts for another number of prompts.
ScoredPictures pictures_in(const std::filesystem::path& folder, PromptList prompts);

/// A picture or clip a line of a .jsonl file: "file_name", "prompt", and "reference" and "mask" in all lines
/// or none; paths are relative to `folder`, and where that is empty to the manifest's own.
ScoredPictures pictures_of_manifest(const std::string& manifest, const std::filesystem::path& folder);

/// `frames` [N,F,3,H,W] of a safetensors file.
ScoredPictures saved_frames(const std::string& path, PromptList prompts);

}  // namespace thalweg
