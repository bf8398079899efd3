// UniPCMultistepScheduler of diffusers, as Wan's folders name it: the noise levels that its config asks for.
// Its step is a sampler's business here.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/core/json.h"
#include "engine/core/values.h"

namespace thalweg {

inline constexpr const char* kUniPc = "UniPCMultistepScheduler";

struct UniPc {
  double flow_shift = 1.0;
  int64_t num_train_timesteps = 1000;
  std::optional<double> shift_terminal;  // the last level before 0 that the levels are stretched to
};

/// Of the keys that decide the levels; those of the solver change nothing here. Throws Error naming `path`
/// and the key for a value out of bounds and for what is not had here: schedules that are no flow's, other
/// spacings, dynamic shifts, a last level above 0.
UniPc parse_unipc(const Json& config, const std::filesystem::path& path);

/// steps + 1 levels: the even grid from 1 to 1/num_train_timesteps without its end, shifted once, then 0. The
/// first is 1; diffusers takes 1e-6 off for its solver's logarithm. And the network sees its time as the
/// level has it, where diffusers cuts it to a whole number.
Schedule unipc_schedule(const UniPc& scheduler, int64_t steps);

}  // namespace thalweg
