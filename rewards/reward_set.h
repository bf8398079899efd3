// All rewards of a job, scored as one batch.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/fields.h"
#include "rewards/reward_batch.h"
#include "rewards/reward_model.h"
#include "rewards/transform/transform.h"

namespace thalweg {

/// One entry of a job's "rewards".
struct RewardSpec {
  std::string plugin;  // a name that `thalweg plugins` lists, or the path of a .so file
  std::string id;      // which reward of the library; "": its first
  double weight = 1;
  std::vector<std::pair<std::string, double>> dimensions;  // name and weight; empty: the first, with 1
  Json config = Json::object();
  TransformOptions transform;
  std::string isolation;  // "inproc" for a library from outside the installation
  std::string pointer;    // of this entry in the job, e.g. "/rewards/0"; set by the job's reader
};

/// The fields of one entry; sets `pointer` too.
void describe(Fields& fields, RewardSpec& spec);

/// RewardSet::wants_frames of the same entries, by what their libraries say: nothing is activated. Throws
/// Error as the constructor does for a library that must not be loaded.
bool wants_frames(const std::vector<RewardSpec>& specs,
                  const std::vector<std::filesystem::path>& plugin_dirs);

/// Instances of one job, torn down in reverse order. One call at a time; others wait.
class RewardSet {
 public:
  /// Finds and activates every reward. Throws Error at the JSON pointer of what is wrong: an unknown plugin
  /// or dimension (with the nearest name), a refused configuration, a library that must not be loaded.
  RewardSet(std::vector<RewardSpec> specs, const std::vector<std::filesystem::path>& plugin_dirs,
            const Activation& activation);
  ~RewardSet();
  RewardSet(const RewardSet&) = delete;
  RewardSet& operator=(const RewardSet&) = delete;

  /// Every dimension of every reward: "plugin/dimension", with "#2" and so on where that is taken.
  const std::vector<std::string>& names_K() const { return names_K_; }
  /// weight of the entry times weight of the dimension; 0 for dimensions that were not asked for.
  const std::vector<double>& weights_K() const { return weights_K_; }

  /// Raw as scored, the columns being names_K. A reward that fails leaves its columns invalid; its calls that
  /// fail, and entries that are not numbers in columns with a weight, are among the batch's failures. Throws
  /// Error only as RewardModel::score does.
  RewardBatch score(const ScoreInput& input);

  /// Each entry's transform on its own columns.
  RewardBatch transform(const RewardBatch& raw) const;

  /// The combined reward, from the members that have a weight alone: transformed and weighted, float64 [B] on
  /// the CPU; NaN where a sample was not scored. Where the frames or latents ask for gradients, so does the
  /// result. Adds to `failures` as score() does. Throws Error as RewardModel::score does, and for gradients
  /// of a reward that has none.
  at::Tensor value(const ScoreInput& input, std::vector<RewardFailure>& failures);

  /// Of the members that have a weight: those without a gradient, by the names that the job gives them.
  std::vector<std::string> without_gradient() const;
  /// Of the members that have a weight: those that do not take latents alone, so cannot score them at a noise
  /// level.
  std::vector<std::string> without_noisy_latents() const;
  /// Whether a member with a weight takes frames.
  bool wants_frames() const;

  size_t size() const { return members_.size(); }
  const RewardSpec& spec(size_t i) const { return members_.at(i).spec; }
  /// The instance itself, for gradients; shared, and guarded by a lock of its own.
  const std::shared_ptr<RewardModel>& model(size_t i) const { return members_.at(i).model; }

 private:
  struct Member {
    RewardSpec spec;
    std::string name;
    std::shared_ptr<RewardModel> model;
    int64_t first;  // column
  };
  void add_columns(const Member& member);
  bool has_weight(const Member& member) const;
  /// The weights of the member's own columns.
  std::vector<double> weights_of(const Member& member) const;
  at::Tensor member_values(const Member& member, const ScoreInput& input,
                           std::vector<RewardFailure>& failures) const;
  at::Tensor score_member(const Member& member, const ScoreInput& input,
                          std::vector<RewardFailure>& failures) const;

  std::vector<Member> members_;
  std::vector<std::string> names_K_;
  std::vector<double> weights_K_;
  std::mutex mutex_;
};

}  // namespace thalweg
