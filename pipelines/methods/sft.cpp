// Supervised flow matching (Esser et al. 2024, arXiv 2403.03206, section 2), of two kinds of data: the best
// sample of each group of a rollout (rejection sampling, as RAFT, arXiv 2304.06767; flow_grpo's SFT trainer),
// or pictures with captions, which people train on before they align.
#include <ATen/ATen.h>

#include "pipelines/methods/weighted_matching.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

struct Options : WeightedMatching {
  Options() { levels.name = "logit_normal"; }
  std::string data = "best_of_group";  // or "pictures"
  PictureSource pictures;
  double caption_dropout = 0.1;
};

struct Samples {
  std::vector<MicroBatch> batches;
  Advantages weights;
};

class SftRun final : public MethodRun {
 public:
  SftRun(const Options& options, Training& training) : o_(options), t_(training) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto chosen = o_.data == "pictures" ? given(iteration) : drawn(iteration, metrics);
    train_on_clean_latents(t_, chosen.batches, o_.groups, chosen.weights, head_, matching_of(o_, t_),
                           iteration, metrics);
    return metrics;
  }

 private:
  Samples drawn(int64_t iteration, Metrics& metrics) {
    const auto [batches, scores] =
        draw_clean_latents(t_, iteration, o_.groups, t_.policy.velocity(), metrics);
    report_totals(scores, metrics);
    const auto rows = best_of_groups(scores);
    const auto best_B = scores.total.total_B.index_select(0, at::tensor(rows, at::kLong));
    metrics.emplace_back("best_reward", best_B.mean().item<double>());
    return {selected(batches, rows, o_.groups, t_.options.parallel.micro_batch).batches,
            selected(head_.advantages(scores, metrics), rows)};
  }

  Samples given(int64_t iteration) const {
    const auto all_B = at::ones({o_.groups.samples()}, at::kBool);
    return {given_groups(t_, iteration, o_.groups, t_.options.parallel.micro_batch, o_.caption_dropout),
            weights(all_B, all_B)};
  }

  const Options o_;
  Training& t_;
  OneHead head_;
};

class Sft final : public MatchingOf<Sft, SftRun, Options> {
 public:
  void describe(Fields& f) override {
    f.object({"data", "what is matched"}, [this](Fields& d) {
      d.variant({"name", "data"}, o_.data,
                {{"best_of_group", "the sample of highest combined reward of each group that is drawn",
                  [](Fields&) {}},
                 {"pictures",
                  "pictures with captions; each line of /prompts/train is {\"file_name\": ..., \"prompt\": "
                  "...}",
                  [this](Fields& p) {
                    thalweg::describe(p, o_.pictures);
                    p.number(
                        {"caption_dropout", "share of the pictures that are trained without their prompt"},
                        o_.caption_dropout, 0.0, 1.0);
                  }}});
    });
    if (o_.data == "pictures") {
      o_.groups.group_size = 1;
      describe_given(f, o_.groups);
    } else {
      thalweg::describe(f, o_.groups);
    }
    thalweg::describe(f, o_);
  }

  void check(const TrainingOptions& options) const override { thalweg::check(o_, options); }

  PictureSource pictures() const override {
    auto source = o_.pictures;
    if (o_.data == "pictures") source.keys = {"file_name"};
    return source;
  }
};

}  // namespace

std::unique_ptr<Method> make_sft() {
  return std::make_unique<Sft>();
}

}  // namespace thalweg
