#include "pipelines/align/run_record.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <ctime>

#include "engine/io/image.h"

namespace thalweg {
namespace {

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::filesystem::path made(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

RunRecord::RunRecord(const std::filesystem::path& folder, int64_t resumed_step)
    : folder_(made(folder)),
      metrics_(folder / "metrics.jsonl"),
      events_(folder / "events.jsonl"),
      tensorboard_(folder, resumed_step > 0 ? std::optional<int64_t>(resumed_step) : std::nullopt),
      started_(now()) {
  metrics_.truncate_after(resumed_step);
  events_.truncate_after(resumed_step);
}

void RunRecord::append(int64_t step, const std::string& kind, const Metrics& metrics) {
  Json row = {{"step", step}, {"kind", kind}};
  for (const auto& [name, value] : metrics) {
    row[name] = value;
    tensorboard_.scalar(kind + "/" + name, step, value);
  }
  row["time_s"] = now() - started_;
  metrics_.append(row);
}

void RunRecord::append(int64_t step, const std::vector<Event>& events) {
  for (const auto& event : events)
    events_.append({{"step", step},
                    {"level", event.level},
                    {"type", event.type},
                    {"message", event.message},
                    {"data", event.data},
                    {"time_s", now() - started_}});
}

void RunRecord::pictures(int64_t step, const std::string& name, const at::Tensor& frames_BF3HW) {
  if (!frames_BF3HW.defined()) return;
  const auto folder = made(folder_ / "samples" / name);
  const auto first_N3HW = frames_BF3HW.select(1, 0);
  for (int64_t i = 0; i < first_N3HW.size(0); ++i) {
    char file[32];
    std::snprintf(file, sizeof file, "%05d.png", static_cast<int>(i));
    write_png(folder / file, first_N3HW[i]);
  }
  const auto grid = image_grid(first_N3HW, 8);
  const auto png = encode_png(grid);
  write_file(folder / "grid.png", png);
  tensorboard_.image("samples/" + name, step, png, grid.size(2), grid.size(1));
}

}  // namespace thalweg
