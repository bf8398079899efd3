#include "pipelines/training/record.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "engine/core/clock.h"
#include "engine/io/contact_sheet.h"
#include "engine/io/image.h"
#include "engine/video/video_writer.h"
#include "pipelines/stages/decoration.h"

namespace thalweg {
namespace {

std::filesystem::path made(const std::filesystem::path& folder) {
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  if (ec) throw_io_error(folder, "cannot be created", ec.value());
  return folder;
}

constexpr const char* kLogs[] = {"metrics.jsonl", "events.jsonl"};

// As the checkpoint left it: what came after is done again.
std::filesystem::path restored(const std::filesystem::path& folder,
                               const std::optional<std::filesystem::path>& checkpoint, const char* name) {
  write_synced(made(folder) / name, checkpoint ? read_file(*checkpoint / name, kMaxMetricsBytes) : "");
  return folder / name;
}

// TensorBoard is told to forget what earlier files say of the steps that are done again.
std::optional<int64_t> purged_from(const std::filesystem::path& folder,
                                   const std::optional<std::filesystem::path>& checkpoint, int64_t step) {
  if (checkpoint) return step + 1;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) return 0;
  return std::nullopt;
}

}  // namespace

RunRecord::RunRecord(const std::filesystem::path& folder, VideoSection video,
                     const std::optional<std::filesystem::path>& checkpoint, int64_t step, double elapsed_s)
    : folder_(folder),
      video_(std::move(video)),
      metrics_(restored(folder, checkpoint, kLogs[0])),
      events_(restored(folder, checkpoint, kLogs[1])),
      tensorboard_(folder, purged_from(folder, checkpoint, step)),
      started_(wall_seconds() - elapsed_s) {}

void RunRecord::sync() {
  metrics_.sync();
  events_.sync();
  tensorboard_.flush();
  for (const auto& folder : unsynced_) sync_tree(folder);
  unsynced_.clear();
}

void RunRecord::save(const CheckpointWriter& checkpoint) const {
  for (const char* name : kLogs)
    write_synced(checkpoint.path(name), read_file(folder_ / name, kMaxMetricsBytes));
}

double RunRecord::elapsed() const {
  return wall_seconds() - started_;
}

Json RunRecord::append(int64_t step, const std::string& kind, const Metrics& metrics,
                       const std::vector<PhaseTiming>& phases) {
  Json row = {{"step", step}, {"kind", kind}};
  for (const auto& [name, value] : metrics) {
    row[name] = value;
    tensorboard_.scalar(kind + "/" + name, step, value);
  }
  row["time_s"] = elapsed();
  for (const auto& phase : phases)
    row["time_phases"][phase.phase] = {{"wall_s", phase.wall}, {"cpu_s", phase.cpu}};
  metrics_.append(row);
  return row;
}

void RunRecord::append(int64_t step, const std::vector<Event>& events) {
  for (const auto& event : events) {
    Json row = {{"step", step}};
    row.update(event_row(event));
    row["time_s"] = elapsed();
    events_.append(row);
  }
}

void RunRecord::pictures(int64_t step, const std::string& name, const KeptPictures& pictures,
                         const Observer& observer) {
  const auto& frames_BF3HW = pictures.frames_BF3HW;
  if (!frames_BF3HW.defined()) return;
  remove_path(folder_ / "samples" / name);  // there may have been more
  const auto folder = made(folder_ / "samples" / name);
  unsynced_.insert(folder);
  const int64_t frames = frames_BF3HW.size(1);
  if (video_.writes_pictures(frames)) write_pictures(folder, frames_BF3HW);
  if (video_.writes_videos(frames))
    decorate(observer, "samples/" + name, [&] {
      write_videos(folder, frames_BF3HW);
      return "";
    });
  write_metadata(folder, pictures);
  decorate(observer, "samples/" + name + "/grid.png", [&] {
    const auto frames_N3HW = clip_frames(frames_BF3HW);
    const int64_t columns = clip_columns(frames);
    const auto sheet = contact_sheet(frames_N3HW, columns);
    const auto png = encode_png(sheet);
    write_file(folder / "grid.png", png);
    tensorboard_.image("samples/" + name, step, png, sheet.size(2), sheet.size(1));
    return sheet_layout(frames_N3HW.size(0), frames_N3HW.size(2), frames_N3HW.size(3), columns).note();
  });
}

// A line a file: of a clip that is kept as frames alone there is none.
void RunRecord::write_metadata(const std::filesystem::path& folder, const KeptPictures& pictures) const {
  const int64_t count = pictures.frames_BF3HW.size(0), frames = pictures.frames_BF3HW.size(1);
  if (frames > 1 && !video_.writes_videos(frames)) return;
  std::string lines;
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(i);
    const auto file = frames > 1 ? video_file(folder, i) : picture_files(folder, 1, 1, i).front();
    Json line = {{"file_name", file.filename().string()}, {"prompt", pictures.prompts.at(row)}};
    const double score = pictures.scores.at(row);
    line[pictures.score_name] = std::isfinite(score) ? Json(score) : Json();
    lines += line.dump() + "\n";
  }
  write_file(folder / "metadata.jsonl", lines);
}

void RunRecord::write_videos(const std::filesystem::path& folder, const at::Tensor& frames_BF3HW) const {
  for (int64_t i = 0; i < frames_BF3HW.size(0); ++i)
    write_video(video_file(folder, i), frames_BF3HW[i], frame_rate_of(video_.fps), OddSide::pad);
}

}  // namespace thalweg
