// The `score` job: rewards of pictures that are already there.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/ceil_div.h"
#include "engine/core/device.h"
#include "engine/core/error.h"
#include "pipelines/job.h"
#include "pipelines/resume.h"
#include "pipelines/sampling/store.h"
#include "pipelines/score/pictures.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/reward_lines.h"

namespace thalweg {
namespace {

struct ScoreOptions {
  std::string images, manifest, frames, output;
  DeviceSection device;
  PromptSection prompts;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  int64_t batch_size = 16, seed = 0;
  double checkpoint_s = 20.0;
};

void describe_score(Fields& f, ScoreOptions& o) {
  f.text({"images",
          "folder of PNG and JPEG files, or of clips (MP4, MOV, WebM, MKV and GIF files, folders of PNG "
          "frames), "
          "scored in the order of the numbers in their names"},
         o.images);
  f.text({"manifest",
          ".jsonl file with a picture or clip a line: file_name, prompt, and reference and mask for rewards "
          "that take "
          "them; names are relative to its own folder, or to images where that is given"},
         o.manifest);
  f.text({"frames", "safetensors with `frames` [N,F,3,H,W] in [0,1], as `sample` saves them"}, o.frames);
  f.object({"prompts", "one prompt a picture, in the same order; a manifest has them itself"},
           [&](Fields& p) { describe(p, o.prompts); });
  f.list({"rewards", "what to score", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.integer({"batch_size", "pictures of one call"}, o.batch_size, 1, 65536);
  describe_checkpoint(f, o.checkpoint_s);
  describe(f, o.device);
  f.integer({"seed", "handed to the rewards"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json score_identity(const ScoreOptions& o) {
  std::vector<InputFile> inputs;
  if (!o.images.empty()) inputs.push_back({"/images", o.images});
  if (!o.manifest.empty()) inputs.push_back({"/manifest", o.manifest});
  if (!o.frames.empty()) inputs.push_back({"/frames", o.frames});
  if (!o.prompts.path.empty()) inputs.push_back({"/prompts/path", o.prompts.path});
  add_inputs(inputs, o.rewards);
  ScoreOptions copy = o;
  return run_identity([&](Fields& f) { describe_score(f, copy); }, inputs);
}

// Of pictures of one prompt in a row, for rewards that compare them; a group that a batch cuts is an error.
std::vector<int64_t> groups_of(const std::vector<std::string>& prompts, int64_t batch_size) {
  std::vector<int64_t> groups;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const bool goes_on = i > 0 && prompts[i] == prompts[i - 1];
    groups.push_back(i == 0 ? 0 : groups.back() + (goes_on ? 0 : 1));
    if (goes_on && static_cast<int64_t>(i) % batch_size == 0)
      throw Error("/batch_size", "the pictures of the prompt \"" + prompts[i] +
                                     "\" are compared with each other, and picture " + std::to_string(i) +
                                     " begins another batch: take a multiple of the pictures a prompt");
  }
  return groups;
}

// A call has one frame rate: neighbours that have the same are asked together.
RewardBatch score_by_rate(RewardSet& rewards, const ScoreInput& input, const std::vector<double>& fps_B) {
  std::vector<RewardBatch> parts;
  for (size_t begin = 0; begin < fps_B.size();) {
    size_t end = begin + 1;
    while (end < fps_B.size() && fps_B[end] == fps_B[begin]) ++end;
    auto part = input.slice(static_cast<int64_t>(begin), static_cast<int64_t>(end));
    part.fps = fps_B[begin];
    parts.push_back(rewards.score(part));
    if (rewards.compares() && parts.size() > 1)
      throw Error("/rewards", "compare clips with each other, which have different frame rates here (" +
                                  std::to_string(fps_B[begin - 1]) + " and " + std::to_string(fps_B[begin]) +
                                  "): give them one, or score them in two jobs");
    begin = end;
  }
  return concatenate_samples(parts);
}

constexpr double kUnknownRate = 8.0;  // of clips that say none, in the report

class ScoreJob final : public Job {
 public:
  void describe(Fields& fields) override { describe_score(fields, o_); }

  void check() override {
    o_.device.require();
    const bool named = !o_.images.empty() || !o_.manifest.empty();
    if (named == !o_.frames.empty()) throw Error("/images", "give either images or frames, or a manifest");
    if (!o_.images.empty()) require_file(o_.images, "/images");
    if (!o_.frames.empty()) require_file(o_.frames, "/frames");
    if (o_.manifest.empty()) {
      o_.prompts.require();
    } else {
      require_file(o_.manifest, "/manifest");
      if (!o_.prompts.texts.empty() || !o_.prompts.path.empty())
        throw Error("/prompts", "the manifest has the prompts; leave this key out");
      pictures_of_manifest(o_.manifest, o_.images);
    }
    if (o_.rewards.empty()) throw Error("/rewards", "names no reward");
    require_plugins(o_.rewards);
  }

  void check_folder() const override {
    DrawnStore::require_own(o_.output, [this] { return score_identity(o_); });
  }

  Json run(const Observer& observer) override;
  void clean_up() const override { DrawnStore::remove(o_.output); }
  std::string output() const override { return o_.output; }
  bool resumes() const override { return true; }

 private:
  ScoredPictures pictures() const;

  ScoreOptions o_;
};

ScoredPictures ScoreJob::pictures() const {
  if (!o_.manifest.empty()) return pictures_of_manifest(o_.manifest, o_.images);
  if (!o_.frames.empty()) return saved_frames(o_.frames, o_.prompts.read());
  return pictures_in(o_.images, o_.prompts.read());
}

Json ScoreJob::run(const Observer& observer) {
  DrawnStore store(
      o_.output, [this] { return score_identity(o_); }, o_.checkpoint_s);
  auto events = store.load(observer);
  const auto all = pictures();
  const auto total = all.size();
  const auto [sizes, fps] = [&] {  // of the first; it need not stay
    const auto first = all.read(0, 1);
    return std::pair(first.input.frames_BF3HW.sizes().vec(), first.fps_B.front());
  }();
  const SizeSection size{.height = sizes[3], .width = sizes[4], .frames = sizes[1]};
  RewardLines lines(observer);
  const auto rewards =
      make_rewards(o_.rewards, {size}, o_.batch_size, o_.seed, o_.device.open(observer), lines.log());
  const auto groups =
      rewards->compares() ? groups_of(all.prompts.prompts, o_.batch_size) : std::vector<int64_t>{};
  PhaseClock clock;
  const auto missing = store.missing(total, o_.batch_size);
  const auto there = ceil_div(total, o_.batch_size) - static_cast<int64_t>(missing.size());
  if (there > 0) observer.message("resuming: " + std::to_string(there) + " batches were scored before");
  for (const auto begin : missing) {
    const auto end = std::min(begin + o_.batch_size, total);
    auto read = all.read(begin, end);
    for (const auto& note : read.notes) observer.message("warn: " + note);
    auto& input = read.input;
    if (input.frames_BF3HW.sizes().slice(1) != at::IntArrayRef(sizes).slice(1))
      throw Error(all.files[static_cast<size_t>(begin)].path.string(),
                  "has another size than the first picture, or another number of frames");
    input.occasion.phase = ScorePhase::score;
    for (int64_t i = begin; i < end; ++i) {
      input.name_next(static_cast<uint64_t>(o_.seed), i);
      if (!groups.empty()) input.group_ids.push_back(groups[static_cast<size_t>(i)]);
    }
    Drawn scored;
    scored.first = begin;
    scored.count = end - begin;
    {
      PhaseClock::Scope scope(clock, "reward");
      scored.rewards = score_by_rate(*rewards, input, read.fps_B);
    }
    store.add(std::move(scored));
    observer.progress("score", end, total, {});
    if (!observer.stop_requested()) continue;
    store.save();
    throw Stopped{};
  }
  const auto said = lines.take();
  events.insert(events.end(), said.begin(), said.end());
  std::vector<RewardBatch> parts;
  for (auto& scored : store.sorted()) parts.push_back(std::move(scored.rewards));
  ScoredRun run{.job = "score",
                .prompts = all.prompts.prompts,
                .files = all.names(),
                .scores = concatenate_samples(parts),
                .events = events};
  ScoreOptions copy = o_;
  run.settings = write_fields([&](Fields& f) { describe_score(f, copy); });
  run.shown.title = "What was scored";
  run.shown.fps = fps > 0.0 ? fps : kUnknownRate;
  run.shown.frames_F3HW = [&all](int64_t i) { return all.read(i, i + 1).input.frames_BF3HW[0]; };
  return write_scores(o_.output, run, rewards.get(), clock, observer);
}

}  // namespace

std::unique_ptr<Job> make_score_job() {
  return std::make_unique<ScoreJob>();
}

}  // namespace thalweg
