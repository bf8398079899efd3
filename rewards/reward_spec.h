// One entry of a job's "rewards", and what it is for.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/core/fields.h"
#include "rewards/frame_choice.h"
#include "rewards/hosted/host_limits.h"
#include "rewards/transform/transform.h"

namespace thalweg {

/// The job's word for what a reward is for. All are scored on finished samples; only `train` is combined.
enum class RewardUse {
  train,    // the combined reward; steering follows it too where nothing below is there for it
  guide,    // steering by clean estimates
  process,  // steering that scores noisy latents
  watch     // curves and monitors alone
};

struct RewardSpec {
  std::string plugin;  // a name that `thalweg plugins` lists, or the path of a .so file
  std::string id;      // which reward of the library; "": its first
  RewardUse use = RewardUse::train;
  FrameChoice frames;
  double weight = 1;
  std::vector<std::pair<std::string, double>> dimensions;  // name and weight; empty: the first, with 1
  Json config = Json::object();
  TransformOptions transform;
  std::string isolation;  // "inproc", "process", or "": a process for what is from outside the installation
  HostLimits host;        // of a reward in a process of its own
  std::string pointer;    // of this entry in the job, e.g. "/rewards/0"; set by the job's reader
};

/// The fields of one entry; sets `pointer` too.
void describe(Fields& fields, RewardSpec& spec);

/// spec.use; watch where all its weights are 0.
RewardUse use_of(const RewardSpec& spec);
/// The word that a job writes.
const char* name_of(RewardUse use);

/// Positions of the entries that serve `use`, of which `uses` tells one an entry. Those of `train` serve
/// guide and process too where no entry is there for that alone.
std::vector<size_t> serving(const std::vector<RewardUse>& uses, RewardUse use);
std::vector<size_t> serving(const std::vector<RewardSpec>& specs, RewardUse use);

}  // namespace thalweg
