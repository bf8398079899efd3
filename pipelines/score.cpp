// The `score` job: rewards of pictures that are already there.
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/io/image.h"
#include "engine/weights/safetensors.h"
#include "pipelines/job.h"
#include "pipelines/resume.h"
#include "pipelines/sampling/store.h"
#include "pipelines/scoring.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

struct ScoreOptions {
  std::string images, frames, output;
  DeviceSection device;
  PromptSection prompts;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  int64_t batch_size = 16, seed = 0;
  double checkpoint_s = 20.0;
};

void describe_score(Fields& f, ScoreOptions& o) {
  f.text({"images", "folder of PNG files, scored in the order of their names"}, o.images);
  f.text({"frames", "safetensors with `frames` [N,F,3,H,W] in [0,1], as `sample` saves them"}, o.frames);
  f.object({"prompts", "one prompt a picture, in the same order", true},
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
  if (!o.frames.empty()) inputs.push_back({"/frames", o.frames});
  if (!o.prompts.path.empty()) inputs.push_back({"/prompts/path", o.prompts.path});
  add_inputs(inputs, o.rewards);
  ScoreOptions copy = o;
  auto identity = run_identity([&](Fields& f) { describe_score(f, copy); }, inputs);
  identity["job"].erase("checkpoint");  // when something is kept does not change it
  return identity;
}

class ScoreJob final : public Job {
 public:
  void describe(Fields& fields) override { describe_score(fields, o_); }

  void check() override {
    o_.device.require();
    if (o_.images.empty() == o_.frames.empty()) throw Error("/images", "give either images or frames");
    if (!o_.images.empty()) require_file(o_.images, "/images");
    if (!o_.frames.empty()) require_file(o_.frames, "/frames");
    o_.prompts.require();
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
  ScoreOptions o_;
};

std::vector<fs::path> png_files(const std::string& folder) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error("/images", "\"" + folder + "\" is not a folder");
  std::vector<fs::path> files;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
    if (it->path().extension() == ".png" && it->path().filename() != "grid.png") files.push_back(it->path());
  if (ec) throw Error("/images", "\"" + folder + "\" cannot be read: " + ec.message());
  std::sort(files.begin(), files.end());
  if (files.empty()) throw Error("/images", "\"" + folder + "\" holds no PNG file");
  return files;
}

at::Tensor read_frames(const std::string& path) {
  const auto file = read_safetensors(path);
  const auto it = file.tensors.find("frames");
  if (it == file.tensors.end() || it->second.dim() != 5 || it->second.size(2) != 3 || it->second.numel() == 0)
    throw Error(path, "must hold a tensor frames [N,F,3,H,W], none of them 0");
  require_finite(file.tensors, path);
  return it->second.to(at::kFloat);
}

Json ScoreJob::run(const Observer& observer) {
  DrawnStore store(
      o_.output, [this] { return score_identity(o_); }, o_.checkpoint_s);
  const auto events = store.load([](const Drawn&) { return true; }, observer);
  const auto prompts = o_.prompts.read();
  const auto files = o_.images.empty() ? std::vector<fs::path>{} : png_files(o_.images);
  const auto frames = o_.frames.empty() ? at::Tensor() : read_frames(o_.frames);
  const auto total = frames.defined() ? frames.size(0) : static_cast<int64_t>(files.size());
  if (total != static_cast<int64_t>(prompts.prompts.size()))
    throw Error("/prompts", std::to_string(prompts.prompts.size()) + " prompts for " + std::to_string(total) +
                                " pictures");
  SizeSection size;
  const auto first = frames.defined() ? frames[0] : read_png(files[0]).unsqueeze(0);
  size.frames = first.size(0);
  size.height = first.size(2);
  size.width = first.size(3);
  const auto rewards = make_rewards(o_.rewards, size, o_.batch_size, o_.seed, o_.device.open(observer));
  PhaseClock clock;
  const auto missing = store.missing(total, o_.batch_size);
  const auto there = (total + o_.batch_size - 1) / o_.batch_size - static_cast<int64_t>(missing.size());
  if (there > 0) observer.message("resuming: " + std::to_string(there) + " batches were scored before");
  for (const auto begin : missing) {
    const auto end = std::min(begin + o_.batch_size, total);
    ScoreInput input;
    std::vector<at::Tensor> pictures;
    for (int64_t i = begin; i < end && !frames.defined(); ++i) {
      pictures.push_back(read_png(files[static_cast<size_t>(i)]).unsqueeze(0));
      if (pictures.back().sizes() != first.sizes())
        throw Error(files[static_cast<size_t>(i)].string(), "has another size than the first picture");
    }
    input.frames_BF3HW = frames.defined() ? frames.slice(0, begin, end) : at::stack(pictures);
    for (int64_t i = begin; i < end; ++i) {
      input.prompts.push_back(prompts.prompts[static_cast<size_t>(i)]);
      input.metadata_json.push_back(prompts.metadata_json[static_cast<size_t>(i)]);
      input.sample_ids.push_back(static_cast<uint64_t>(i));
      input.seeds.push_back(static_cast<uint64_t>(o_.seed) + static_cast<uint64_t>(i));
    }
    Drawn scored;
    scored.first = begin;
    scored.count = end - begin;
    {
      PhaseClock::Scope scope(clock, "reward");
      scored.rewards = rewards->score(input);
    }
    store.add(std::move(scored));
    observer.progress("score", end, total, {});
    if (!observer.stop_requested()) continue;
    store.save();
    throw Stopped{};
  }
  std::vector<RewardBatch> parts;
  for (auto& scored : store.sorted()) parts.push_back(std::move(scored.rewards));
  ScoredRun run{"score", prompts.prompts, concatenate_samples(parts)};
  run.events = events;
  try {
    return write_scores(o_.output, run, rewards.get(), clock, observer);
  } catch (const NothingAchieved&) {
    clean_up();  // when it is run again, the rewards are asked again
    throw;
  }
}

}  // namespace

std::unique_ptr<Job> make_score_job() {
  return std::make_unique<ScoreJob>();
}

}  // namespace thalweg
