#include "pipelines/training/monitors.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "engine/core/error.h"
#include "pipelines/training/readings.h"

namespace thalweg {
namespace {

constexpr double kClears = 0.75;  // hysteresis: a value that dances on the threshold is one alarm
constexpr size_t kRecent = 20;

struct MonitorRow {
  const char* type;
  double MonitorSection::*threshold;
  double low, high;
  const char* doc;    // of the job's key
  const char* title;  // of the report
  const char* kind;   // rows it judges
  std::optional<Reading> (*read)(const MonitorHistory&, double threshold);
  const char* advice;
};

constexpr const char* kLessDrift =
    "Stop at the checkpoint before it (/evaluate/every shorter finds it), train fewer /iterations, lower "
    "/optimizer/learning_rate or raise /method/kl_beta; or train on the reward that fell, too.";
constexpr const char* kPictures =
    "Look at samples/; if the pictures are worse, raise /method/kl_beta, lower /optimizer/learning_rate, or "
    "add "
    "a reward that such pictures lose.";
constexpr const char* kSmallerSteps = "Lower /optimizer/learning_rate or /optimizer/max_grad_norm.";

// THE table of monitors. Where thresholds come from: reward_hacking and reward_starved, 3 standard errors of
// the difference, unpaired and so on the safe side of the paired one, since the best of several evaluations
// is compared; edge_density_drop, -60 % was seen while a text reward rose (UniRL pull request 407); the
// others are ours, set so that assets/jobs/nft_tiny.json and flow_grpo_tiny.json stay quiet and
// hacking_tiny.json does not (docs/results/hacking.md has the figures).
const std::vector<MonitorRow>& table() {
  using S = MonitorSection;
  static const std::vector<MonitorRow> rows = {
      {"reward_hacking", &S::reward_hacking, 0.0, 1e3,
       "standard errors that a held-out reward (weight 0) may fall below its best while the trained one "
       "rises",
       "The reward is being hacked: a held-out one falls while it rises", "eval", read_reward_hacking,
       kLessDrift},
      {"reward_starved", &S::reward_starved, 0.0, 1e3,
       "standard errors that one of several trained rewards may fall below its best while their sum rises",
       "One of the trained rewards is given up for the others", "eval", read_reward_starved,
       "Raise the /rewards/N/weight of the one that falls, or bring the rewards to one scale by "
       "/rewards/N/transform."},
      {"reward_saturated", &S::reward_saturated, 0.0, 1.0,
       "share of its first value to which the reward's deviation within groups may fall",
       "The reward hardly tells the pictures of a group apart any more", "train", read_reward_saturated,
       "There is little left to learn from this reward: stop, take harder /prompts/train, or add a reward "
       "that "
       "still differs."},
      {"zero_variance", &S::zero_variance, 0.0, 1.0,
       "share of groups whose rewards are all the same, mean of 3 rollouts",
       "In most groups all pictures get the same reward", "train", read_zero_variance,
       "Such groups teach nothing: raise /method/group_size, take prompts of middling difficulty, or a "
       "reward "
       "with finer steps."},
      {"diversity_collapse", &S::diversity_collapse, 0.0, 1.0,
       "share of its first value to which the pictures' diversity may fall", "The pictures become alike",
       "any", read_diversity_collapse,
       "Raise /method/kl_beta, lower /optimizer/learning_rate, train fewer /iterations, or raise "
       "/sampler/noise_level."},
      {"edge_density_drop", &S::edge_density_drop, 0.0, 1.0,
       "share of the loaded model's edge density to which that of held-out pictures may fall",
       "The pictures lose detail", "eval", read_edge_density, kPictures},
      {"edge_density_rise", &S::edge_density_rise, 0.0, 1e3,
       "multiple of the loaded model's edge density to which that of held-out pictures may rise",
       "The pictures fill with edges", "eval", read_edge_density, kPictures},
      {"image_entropy_drop", &S::image_entropy_drop, 0.0, 1.0,
       "share of the loaded model's histogram entropy to which that of held-out pictures may fall",
       "The pictures use fewer tones", "eval", read_image_entropy, kPictures},
      {"image_entropy_rise", &S::image_entropy_rise, 0.0, 1e3,
       "multiple of the loaded model's histogram entropy to which that of held-out pictures may rise",
       "The pictures fill with texture", "eval", read_image_entropy, kPictures},
      {"saturation_shift", &S::saturation_shift, 0.0, 1.0,
       "change of the held-out pictures' mean saturation, in [0, 1]", "The pictures' colours shift", "eval",
       read_saturation_shift, kPictures},
      {"brightness_shift", &S::brightness_shift, 0.0, 1.0,
       "change of the held-out pictures' mean brightness, in [0, 1]", "The pictures' brightness shifts",
       "eval", read_brightness_shift, kPictures},
      {"constant_images", &S::constant_images, 0.0, 1.0,
       "rise of the share of held-out pictures that are one flat colour",
       "Pictures of one flat colour appear", "eval", read_constant_images, kPictures},
      {"motion_drop", &S::motion_drop, 0.0, 1.0,
       "share of the loaded model's mean difference of consecutive frames to which that of held-out videos "
       "may "
       "fall",
       "The videos freeze", "eval", read_motion,
       "Look at samples/; a reward of calm or of single frames is won by standing still: add one that such "
       "videos lose (temporal/frame_change), raise /method/kl_beta or lower /optimizer/learning_rate."},
      {"gradient_explosion", &S::gradient_explosion, 0.0, 1e9,
       "multiple of the median of up to 20 gradient norms before it", "The gradient explodes", "train",
       read_gradient_explosion, kSmallerSteps},
      {"updates_skipped", &S::updates_skipped, 0.0, 3.0,
       "of 3 iterations, those with an update skipped because its gradient was not finite",
       "Updates are skipped again and again", "train", read_updates_skipped,
       "Lower /optimizer/learning_rate, or set /model/dtype to float32."},
      {"clip_fraction", &S::clip_fraction, 0.0, 1.0,
       "share of ratios outside the clip range, mean of 3 iterations", "Nearly every ratio is clipped",
       "train", read_clip_fraction,
       "Lower /optimizer/learning_rate or /method/updates, or raise /method/clip_range."},
      {"approx_kl", &S::approx_kl, 0.0, 1e9,
       "multiple of the clip range that the root mean square of the log-ratio reaches, mean of 3 iterations",
       "The policy moves far beyond the clip range", "train", read_approx_kl,
       "Lower /optimizer/learning_rate or /method/updates."},
  };
  return rows;
}

Json data_of(const Alarm& alarm) {
  return {{"metric", alarm.reading.metric}, {"baseline", alarm.reading.baseline},
          {"now", alarm.reading.now},       {"severity", alarm.reading.severity},
          {"threshold", alarm.threshold},   {"since", alarm.since},
          {"advice", alarm.advice}};
}

}  // namespace

void describe(Fields& f, MonitorSection& m) {
  for (const auto& row : table()) f.number({row.type, row.doc}, m.*row.threshold, row.low, row.high);
}

void check_monitors(const MonitorSection& m) {
  for (const auto& [key, value] : {std::pair{"edge_density_rise", m.edge_density_rise},
                                   std::pair{"image_entropy_rise", m.image_entropy_rise}})
    if (value > 0.0 && value <= 1.0)
      throw Error(std::string("/monitors/") + key, "is a multiple: above 1, or 0 to turn the alarm off");
}

Monitors::Monitors(const MonitorSection& section, const std::vector<std::string>& names_K,
                   const std::vector<double>& weights_K, double clip_range)
    : section_(section) {
  history_.clip_range = clip_range;
  for (size_t k = 0; k < names_K.size(); ++k) {
    if (weights_K[k] == 0.0) {
      history_.held_out.push_back(names_K[k]);
    } else {
      history_.trained.push_back(names_K[k]);
      history_.trained_weights.push_back(weights_K[k]);
    }
  }
}

std::vector<Event> Monitors::observe(const Json& row) {
  const auto kind = row.at("kind").get<std::string>();
  const auto step = row.at("step").get<int64_t>();
  if (kind == "eval") history_.evaluations.push_back(row);
  if (kind == "train") {
    if (history_.first_train.size() < kMonitorWindow) history_.first_train.push_back(row);
    history_.train.push_back(row);
    if (history_.train.size() > kRecent) history_.train.pop_front();
  }
  std::vector<Event> events;
  for (const auto& monitor : table()) {
    const double threshold = section_.*monitor.threshold;
    if (threshold == 0.0 || (kind != monitor.kind && std::string("any") != monitor.kind)) continue;
    const auto reading = monitor.read(history_, threshold);
    if (!reading || std::isnan(reading->severity)) continue;
    const auto raised = std::find_if(alarms_.begin(), alarms_.end(),
                                     [&](const Alarm& a) { return a.type == monitor.type && a.until < 0; });
    if (raised == alarms_.end() && reading->severity >= 1.0) {
      alarms_.push_back(
          {monitor.type, monitor.title, reading->text, monitor.advice, step, -1, *reading, threshold});
      const auto& alarm = alarms_.back();
      events.push_back({"warn", alarm.type, alarm.text + " " + alarm.advice, data_of(alarm)});
    } else if (raised != alarms_.end() && reading->severity < kClears) {
      raised->until = step;
      events.push_back({"info",
                        "alarm_cleared",
                        raised->type + " is over: " + reading->text,
                        {{"alarm", raised->type}, {"since", raised->since}, {"now", reading->now}}});
    }
  }
  return events;
}

}  // namespace thalweg
