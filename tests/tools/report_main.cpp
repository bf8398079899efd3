// Writes a report of made-up numbers and pictures, for a look at the page: report_main OUT.html
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <numbers>

#include "engine/core/json.h"
#include "engine/core/rng.h"
#include "engine/io/image.h"
#include "pipelines/report/page.h"

namespace thalweg {
namespace {

double random(uint64_t slot, uint64_t step) {
  return random_uniform(7, Purpose::data, slot, step);
}

// A disc of a colour on a background; `spoilt` in [0,1] adds noise and moves the disc.
std::string disc(uint64_t index, double spoilt) {
  const auto axis = at::linspace(-1.0, 1.0, 64, at::kFloat);
  const auto dx = axis.view({1, 64}) - 0.5 * spoilt * (random(index, 1) - 0.5);
  const auto dy = axis.view({64, 1}) - 0.9 * spoilt * (random(index, 2) - 0.5);
  const auto inside = (dx.square() + dy.square() < 0.25 - 0.12 * spoilt).to(at::kFloat);
  std::vector<at::Tensor> channels;
  for (uint64_t c = 0; c < 3; ++c) {
    const double fore = 0.5 + 0.5 * std::cos(2.1 * static_cast<double>(index + c * 2)),
                 back = 0.82 - 0.1 * random(index, 7);
    channels.push_back(inside * (fore - spoilt * 0.2) + (1 - inside) * back);
  }
  const auto noise = normal_noise(7, Purpose::data, {static_cast<int64_t>(index)}, 9, {3, 64, 64})[0];
  return encode_png(at::stack(channels) + noise * (0.02 + 0.13 * spoilt));
}

Chart curve(const std::string& title, double from, double to, bool band) {
  Chart chart{title, title, "iteration", {}, ""};
  Series train{"training", {}, {}, {}}, held{"held-out", {}, {}, {}};
  for (int i = 0; i <= 60; ++i) {
    const double rise = 1.0 - std::exp(-i / 18.0), noise = 0.07 * (random(static_cast<uint64_t>(i), 3) - 0.5);
    train.points.emplace_back(i, from + (to - from) * (rise + noise));
    if (i % 10 != 0) continue;
    held.points.emplace_back(i, from + (to - from) * rise * 0.96);
    held.low.push_back(held.points.back().second - 0.05 * std::fabs(to - from));
    held.high.push_back(held.points.back().second + 0.05 * std::fabs(to - from));
  }
  if (!band) held.low.clear();
  chart.series = {train, held};
  return chart;
}

Comparison compared(const std::string& label, double from, double to, bool higher_is_better = true) {
  std::vector<double> before, after;
  for (uint64_t i = 0; i < 64; ++i) {
    before.push_back(from + 0.3 * (random(i, 4) - 0.5));
    after.push_back(i == 63 ? kNotScored : to + 0.3 * (random(i, 5) - 0.5));
  }
  return {label, paired_difference(before, after), higher_is_better, ""};
}

Report sample() {
  Report report;
  report.title = "tiny-sd3 aligned with scene";
  report.subtitle = "Flow-GRPO, 60 iterations of 8 prompts with 16 pictures each, on 2 processor cores.";
  report.status = "succeeded";
  report.headline = {{"Method", "flow_grpo"},
                     {"Model", "assets/models/tiny-sd3"},
                     {"Trained", "LoRA, rank 16"},
                     {"Wall time", "6 min 41 s"},
                     {"Seed", "0"}};
  report.comparisons = {compared("scene", 0.31, 0.86), compared("colour", 0.62, 0.64),
                        compared("sharpness", 0.71, 0.66), compared("file size", 0.52, 0.31, false)};
  report.comparisons[0].note =
      "Share of the scene's facts that the picture shows, on prompts never trained on.";
  report.notes = {
      {Note::Level::info,
       "Before the first update |log p(rollout) - log p(training)| was 2.1e-07: the two paths agree."},
      {Note::Level::warning,
       "12 of 7680 samples were not scored by \"sharpness\" (the plugin returned NaN) and were masked."},
      {Note::Level::info, "Resumed from checkpoint-30 after SIGTERM."}};
  GridPair grid{"Held-out prompts",
                "Same prompt, same seed, same 10 steps. Select a picture to compare in large.",
                "scene",
                {}};
  const char* colours[] = {"red", "green", "blue", "yellow"};
  for (uint64_t i = 0; i < 16; ++i) {
    const double before = 0.2 + 0.4 * random(i, 6), after = i == 4 ? before - 0.08 : 0.7 + 0.3 * random(i, 8);
    grid.pictures.push_back(
        {std::string("a ") + colours[i % 4] + " disc above a <small> \"square\" & two triangles" +
             (i == 5 ? ", on a textured background with a long description that goes on and on until it "
                       "needs more than three lines in its card"
                     : ""),
         disc(i, 0.95), disc(i, 0.1), i == 7 ? kNotScored : before, after, "seed " + std::to_string(i)});
  }
  report.grids = {grid};
  report.charts = {curve("reward", 0.31, 0.86, true), curve("KL to the reference", 0.0, 0.0042, false),
                   curve("clip fraction", 0.02, 0.31, false)};
  report.charts[0].note = "Band: 95% interval over held-out prompts.";
  report.tables = {{"Held-out evaluation",
                    {"iteration", "scene", "colour", "sharpness", "pictures/s"},
                    {{"0", "0.312", "0.621", "0.709", "41.2"},
                     {"20", "0.655", "0.633", "0.690", "41.0"},
                     {"40", "0.801", "0.640", "0.671", "40.8"},
                     {"60", "0.861", "0.644", "0.662", "41.1"}},
                    "64 prompts, 28 steps."}};
  report.timings = {{"rollout", 212.4, 401.0},    {"decode", 21.0, 39.8},     {"reward", 4.1, 4.0},
                    {"train step", 140.2, 270.1}, {"evaluation", 22.9, 44.0}, {"checkpoint", 0.6, 0.3}};
  report.job = parse_json(
      R"({"version":1,"job":"align","model":{"path":"assets/models/tiny-sd3","lora":{"rank":16,"alpha":32}},"rewards":[{"plugin":"scene","weight":1.0}],"evaluate":{"every":10,"seeds":[0,1,2]},"steering":[],"method":{"name":"flow_grpo","clip_range":1e-4}})",
      "job");
  return report;
}

}  // namespace
}  // namespace thalweg

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: report_main OUT.html\n", stderr);
    return 2;
  }
  thalweg::write_file(argv[1], thalweg::render_report(thalweg::sample()));
  return 0;
}
