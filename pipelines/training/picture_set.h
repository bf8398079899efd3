// Pictures, or clips, from files, encoded once for a whole run: what methods train on that draw no samples of
// their own. The lines of /prompts/train (.jsonl) name them beside their prompts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/fields.h"
#include "engine/models/flow_model.h"
#include "engine/parallel/workers.h"
#include "pipelines/observer.h"
#include "pipelines/prompt_file.h"
#include "pipelines/resume.h"
#include "pipelines/sampler_section.h"

namespace thalweg {

/// Where a method's pictures are.
struct PictureSource {
  std::vector<std::string> keys = {};  // of a line, one a picture; none: the method draws its own samples
  std::string folder = {};             // names are relative to it; empty: to the .jsonl file's own
  std::string fit = "exact";           // or "crop"

  bool given() const { return !keys.empty(); }
};

/// "folder", "fit".
void describe(Fields& fields, PictureSource& source);

struct PictureFiles {
  std::vector<std::vector<std::filesystem::path>> of_line;  // in the order of the source's keys
  std::vector<InputFile> inputs;                            // each by the place of its line in the job's file
};

/// Throws Error at /prompts/train for a file that is not .jsonl, and at a line that names no picture, or one
/// that is not there.
PictureFiles picture_files(const PromptFile& train_prompts, const PictureSource& source);

/// Clean latents of N lines, K pictures each.
struct PictureSet {
  at::Tensor latents_NKCFHW;  // on the CPU; undefined: none

  int64_t of_line() const { return latents_NKCFHW.size(1); }
};

/// Reads and encodes them on the workers; the bits do not depend on how many there are. Throws Error naming
/// the file for what cannot be read, has another size than `size` (unless it is to be cropped) or other
/// frames, or whose
/// latents are not finite; Stopped when asked to stop.
PictureSet encode_pictures(const FlowModel& model, const PictureFiles& files, const PictureSource& source,
                           const SizeSection& size, Workers& workers, const Observer& observer);

/// [F,3,H,W] in [0,1] to `height` x `width`: resized until both sides suffice (Pillow's bicubic), then cut
/// around the centre.
at::Tensor cropped(const at::Tensor& frames_F3HW, int64_t height, int64_t width);

}  // namespace thalweg
