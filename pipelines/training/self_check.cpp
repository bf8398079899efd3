#include "pipelines/training/self_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kFewGroups = 0.2, kManyMasked = 0.5;

std::string shown(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

double number(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number() ? found->get<double>() : kNan;
}

// Of the training rows that have the number; NaN: none has.
class Column {
 public:
  Column(const std::vector<Json>& rows, const std::string& key) {
    for (const auto& row : rows) {
      if (row.at("kind") != "train" || !row.contains(key)) continue;
      present = true;
      const double value = number(row, key);
      if (std::isfinite(value)) values.push_back(value);
    }
  }
  double mean() const {
    double sum = 0.0;
    for (const double value : values) sum += value;
    return values.empty() ? kNan : sum / static_cast<double>(values.size());
  }
  double first() const { return values.empty() ? kNan : values.front(); }

  bool present = false;        // in any row, be it finite or not
  std::vector<double> values;  // the finite ones
};

struct Seen {
  double spread, gap, grad_norm, masked;  // NaN: nothing says it
  bool updated, all_skipped;
};

Seen seen_in(const std::vector<Json>& rows, const SelfCheckFacts& facts) {
  const Column norm(rows, "grad_norm");
  double skipped = 0.0, updates = 0.0;
  for (const auto& row : rows) {
    if (row.at("kind") != "train") continue;
    updates += facts.updates;
    if (const double n = number(row, "skipped_updates"); std::isfinite(n)) skipped += n;
  }
  return {.spread = 1.0 - Column(rows, "zero_std_ratio").mean(),
          .gap = Column(rows, "ratio_dev_first_step").first(),
          .grad_norm = norm.mean(),
          .masked = Column(rows, "masked_samples").mean() / facts.samples,
          .updated = norm.present,
          .all_skipped = updates > 0.0 && skipped >= updates};
}

struct Finding {
  bool fatal;
  std::string what, turn;
};

constexpr const char* kSpread =
    "raise /method/group_size, take prompts of middling difficulty (/prompts/train), or a reward with finer "
    "steps (/rewards)";

// What keeps a run from learning, most basic first: what follows from the one before is not said.
std::vector<Finding> obstacles(const Seen& s, const SelfCheckFacts& facts) {
  if (s.spread <= 0.0) return {{true, "in no group do the rewards differ", kSpread}};
  if (!s.updated)
    return {{true, "no update was made: no group has two samples with a reward",
             "mend the rewards (/rewards; events.jsonl says why they failed) or raise /method/group_size"}};
  if (s.all_skipped)
    return {{true, "every update was skipped, since no gradient was finite",
             "lower /optimizer/learning_rate, or set /model/dtype to float32"}};
  if (s.grad_norm == 0.0)
    return {{true, "the gradient is 0, though the rewards differ",
             "see whether what is trained reaches the picture (/model/lora/targets) and the method's weights "
             "(/method) are not 0"}};
  if (facts.learning_rate == 0.0) return {{true, "the learning rate is 0", "raise /optimizer/learning_rate"}};
  return {};
}

std::vector<Finding> findings_of(const Seen& s, const SelfCheckFacts& facts) {
  auto findings = obstacles(s, facts);
  if (s.spread > 0.0 && s.spread < kFewGroups)
    findings.push_back({false, "only in a few groups do the rewards differ", kSpread});
  if (s.masked >= kManyMasked && s.updated)
    findings.push_back({false, "half of the samples or more have no reward and are masked",
                        "mend the rewards (/rewards; events.jsonl says why they failed)"});
  if (facts.clip_range > 0.0 && s.gap > facts.clip_range)
    findings.push_back({false, "log-probs of rollout and training differ by more than the clip range",
                        "set /method/anchor to recomputed, /model/dtype to float32, or raise "
                        "/method/clip_range or /sampler/noise_level"});
  return findings;
}

std::string figures(const Seen& s) {
  std::string text;
  const auto add = [&](double value, const std::string& words) {
    if (std::isfinite(value)) text += (text.empty() ? "" : ", ") + words;
  };
  add(s.spread, "rewards differ in " + shown("%.0f", 100.0 * s.spread) + " % of the groups");
  add(s.gap, "log-probs agree to " + shown("%.2g", s.gap));
  add(s.grad_norm, "gradient norm " + shown("%.2g", s.grad_norm));
  add(s.masked, shown("%.0f", 100.0 * s.masked) + " % of the samples masked");
  return text;
}

Json json_of(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

}  // namespace

Event self_check(const std::vector<Json>& rows, const SelfCheckFacts& facts) {
  const auto seen = seen_in(rows, facts);
  const auto findings = findings_of(seen, facts);
  const bool can_learn =
      std::none_of(findings.begin(), findings.end(), [](const Finding& f) { return f.fatal; });
  std::string text = can_learn ? "self-check: this run can learn" : "self-check: this run cannot learn";
  Json list = Json::array();
  for (const auto& [fatal, what, turn] : findings) {
    text += (list.empty() ? (fatal ? ": " : ", but ") : "; ") + what + " (" + turn + ")";
    list.push_back({{"what", what}, {"turn", turn}});
  }
  if (const auto said = figures(seen); !said.empty()) text += "; " + said;
  return {findings.empty() ? "info" : "warn",
          kSelfCheck,
          text,
          {{"can_learn", can_learn},
           {"groups_with_spread", json_of(seen.spread)},
           {"log_prob_gap", json_of(seen.gap)},
           {"grad_norm", json_of(seen.grad_norm)},
           {"masked_share", json_of(seen.masked)},
           {"findings", std::move(list)}}};
}

double seconds_left(const std::vector<Json>& rows, const SelfCheckFacts& facts, int64_t iterations,
                    int64_t evaluate_every) {
  int64_t done = 0;
  double iteration = 0.0, evaluation = 0.0, before = 0.0;
  for (const auto& row : rows) {
    const double now = row.value("time_s", before);
    if (row.at("kind") == "eval") {
      evaluation = now - before;
    } else {
      done = row.at("step").get<int64_t>();
      const Json::json_pointer wall("/time_phases/iteration/wall_s");
      iteration = row.contains(wall) ? row.at(wall).get<double>() : now - before;
    }
    before = now;
  }
  const int64_t left = std::max<int64_t>(iterations - done, 0);
  double evaluations = facts.final_evaluations;
  if (evaluate_every > 0)
    evaluations += static_cast<double>(iterations / evaluate_every - done / evaluate_every +
                                       (left > 0 && iterations % evaluate_every != 0));
  return static_cast<double>(left) * iteration + evaluations * evaluation;
}

}  // namespace thalweg
