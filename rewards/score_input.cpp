#include "rewards/score_input.h"

#include "engine/core/device.h"
#include "engine/core/rng.h"

namespace thalweg {
namespace {

constexpr int kNumberBits = 36, kRoundBits = 24;

at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t end) {
  return x.defined() ? x.narrow(0, begin, end - begin) : x;
}

template <class T>
std::vector<T> rows(const std::vector<T>& values, int64_t begin, int64_t end) {
  if (values.empty()) return {};
  return std::vector<T>(values.begin() + begin, values.begin() + end);
}

}  // namespace

void ScoreInput::name_next(uint64_t run_seed, int64_t number, int64_t round) {
  const auto phase = static_cast<uint64_t>(occasion.phase);
  const uint64_t id = (phase << (kNumberBits + kRoundBits)) | (static_cast<uint64_t>(round) << kNumberBits) |
                      static_cast<uint64_t>(number);
  sample_ids.push_back(id);
  seeds.push_back(random_bits(run_seed, Purpose::reward, id, 0));
}

int64_t ScoreInput::batch() const {
  for (const auto& x : {frames_BF3HW, latents_BCFHW, reference_BF3HW})
    if (x.defined() && x.dim() > 0) return x.size(0);
  return 0;
}

ScoreInput ScoreInput::on_host() const {
  ScoreInput there = *this;
  for (auto* x : {&there.frames_BF3HW, &there.latents_BCFHW, &there.sigmas_B, &there.reference_BF3HW,
                  &there.mask_BF1HW})
    if (x->defined()) *x = thalweg::on_host(*x);
  return there;
}

ScoreInput ScoreInput::slice(int64_t begin, int64_t end) const {
  ScoreInput part = *this;
  part.frames_BF3HW = rows(frames_BF3HW, begin, end);
  part.latents_BCFHW = rows(latents_BCFHW, begin, end);
  part.sigmas_B = rows(sigmas_B, begin, end);
  part.reference_BF3HW = rows(reference_BF3HW, begin, end);
  part.mask_BF1HW = rows(mask_BF1HW, begin, end);
  part.prompts = rows(prompts, begin, end);
  part.sample_ids = rows(sample_ids, begin, end);
  // Absent ids are positions in the whole batch, so they do not start again in each part.
  if (sample_ids.empty())
    for (int64_t b = begin; b < end; ++b) part.sample_ids.push_back(static_cast<uint64_t>(b));
  part.seeds = rows(seeds, begin, end);
  part.group_ids = rows(group_ids, begin, end);
  part.metadata_json = rows(metadata_json, begin, end);
  return part;
}

}  // namespace thalweg
