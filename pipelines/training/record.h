// What a run leaves behind while it goes: metrics.jsonl, events.jsonl, TensorBoard events, pictures.
#pragma once

#include <filesystem>
#include <optional>
#include <set>

#include "engine/io/checkpoint.h"
#include "engine/io/metrics.h"
#include "engine/io/tensorboard.h"
#include "pipelines/observer.h"
#include "pipelines/stages/event.h"
#include "pipelines/training/metrics.h"
#include "pipelines/training/timings.h"
#include "pipelines/video_section.h"

namespace thalweg {

/// Of the first held-out prompts.
struct KeptPictures {
  at::Tensor frames_BF3HW = {};           ///< undefined: none
  std::vector<std::string> prompts = {};  ///< of each, and perhaps of more
  std::vector<double> scores = {};        ///< likewise; NaN: not scored
  std::string score_name = {};
};

class RunRecord {
 public:
  /// Opens `folder`. `video`: how samples of several frames are kept. Rows and events are those that
  /// `checkpoint`, of step `step`, holds; without one the run starts from the beginning. `elapsed_s`: what
  /// the run took before.
  RunRecord(const std::filesystem::path& folder, VideoSection video,
            const std::optional<std::filesystem::path>& checkpoint, int64_t step, double elapsed_s);

  /// Writes and returns one row: {"step", "kind": "train" or "eval", metrics..., "time_s", "time_phases"}.
  /// Fields named time_* are the only ones in which two runs of one job may differ.
  Json append(int64_t step, const std::string& kind, const Metrics& metrics,
              const std::vector<PhaseTiming>& phases = {});

  /// Rows of events.jsonl: {"step", "level", "type", "message", "data", "time_s"}.
  void append(int64_t step, const std::vector<Event>& events);

  /// All rows of events.jsonl so far.
  std::vector<Json> event_rows() const { return MetricsLog::read_all(folder_ / "events.jsonl"); }

  /// Writes samples/NAME/NNNNN.png, of videos NNNNN.mp4 or the frames, samples/NAME/metadata.jsonl (which
  /// makes the folder a dataset with captions, and a manifest of a `score` job), and samples/NAME/grid.png
  /// (of videos some frames), and the grid as an event.
  void pictures(int64_t step, const std::string& name, const KeptPictures& pictures,
                const Observer& observer);

  /// Waits until everything so far is on the disk: to be called before a checkpoint that presupposes it.
  void sync();

  /// Copies rows and events into a checkpoint.
  void save(const CheckpointWriter& checkpoint) const;

  /// Seconds of the run, those before a resume included.
  double elapsed() const;

 private:
  void write_videos(const std::filesystem::path& folder, const at::Tensor& frames_BF3HW) const;
  void write_metadata(const std::filesystem::path& folder, const KeptPictures& pictures) const;

  std::filesystem::path folder_;
  VideoSection video_;
  MetricsLog metrics_, events_;
  EventWriter tensorboard_;
  std::set<std::filesystem::path> unsynced_;  // folders of pictures
  double started_;
};

}  // namespace thalweg
