#include "plugins/validator/samples.h"

#include <cmath>
#include <cstring>
#include <numeric>

namespace thalweg::validator {
namespace {

constexpr size_t kGuard = 4096;  // floats on either side
constexpr float kGuardValue = 1234.5F;
constexpr uint32_t kUnwritten = 0x7fc0bad2;

float unwritten() {
  float value = 0;
  std::memcpy(&value, &kUnwritten, sizeof(value));
  return value;
}

/// A number in [0, 1) for each pair.
double noise(uint64_t stream, uint64_t index) {
  uint64_t z = stream * 0x9E3779B97F4A7C15ULL + index * 0xD1B54A32D192ED03ULL + 1;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

size_t elements(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return static_cast<size_t>(n);
}

void describe(thalweg_tensor& view, float* data, const std::vector<int64_t>& shape,
              std::vector<int64_t>& strides) {
  strides.assign(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  view = {data,
          {THALWEG_DEVICE_TYPE_CPU, 0},
          static_cast<int32_t>(shape.size()),
          {THALWEG_DTYPE_FLOAT, 32, 1},
          shape.data(),
          strides.data(),
          0};
}

/// A picture: light ground, a patch of colour that differs from sample to sample, some noise. Within
/// [0.1, 0.9], so that finite differences stay in [0, 1]. Frames of a video are dark and light in turn, so
/// that no difference of theirs changes its sign along a finite difference.
void draw(Tensor& frames, size_t row, uint64_t number) {
  const auto& shape = frames.shape();
  const int64_t F = shape[1], H = shape[3], W = shape[4];
  const double left = 0.5 * noise(number, 1), top = 0.5 * noise(number, 2);
  float* out = frames.data.data() + row * frames.row();
  uint64_t i = 0;
  for (int64_t f = 0; f < F; ++f)
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t y = 0; y < H; ++y)
        for (int64_t x = 0; x < W; ++x, ++i) {
          const double u = static_cast<double>(x) / static_cast<double>(W);
          const double v = static_cast<double>(y) / static_cast<double>(H);
          const bool inside = u >= left && u < left + 0.4 && v >= top && v < top + 0.4;
          const double base = inside ? 0.2 + 0.6 * noise(number, static_cast<uint64_t>(10 + c)) : 0.82;
          const double lit = F > 1 ? 0.7 * base + (f % 2 == 1 ? 0.25 : 0.0) : base;
          *out++ = static_cast<float>(lit + 0.06 * (noise(number + 7919, i) - 0.5));
        }
}

void fill(Tensor& tensor, size_t row, uint64_t stream, double low, double high) {
  float* out = tensor.data.data() + row * tensor.row();
  for (size_t i = 0; i < tensor.row(); ++i)
    out[i] = static_cast<float>(low + (high - low) * noise(stream, i));
}

}  // namespace

Tensor::Tensor(std::vector<int64_t> shape) : data(elements(shape)), shape_(std::move(shape)) {
  describe(view_, data.data(), shape_, strides_);
}

bool Tensor::same_as(const Tensor& other) const {
  return shape_ == other.shape_ && strides_ == other.strides_ && view_.data == data.data() &&
         std::memcmp(data.data(), other.data.data(), data.size() * sizeof(float)) == 0;
}

Guarded::Guarded(std::vector<int64_t> shape)
    : size_(elements(shape)), data_(size_ + 2 * kGuard, kGuardValue), shape_(std::move(shape)) {
  std::fill(data_.begin() + kGuard, data_.begin() + static_cast<int64_t>(kGuard + size_), unwritten());
  describe(view_, data_.data() + kGuard, shape_, strides_);
}

std::vector<float> Guarded::values() const {
  const auto begin = data_.begin() + static_cast<int64_t>(kGuard);
  return {begin, begin + static_cast<int64_t>(size_)};
}

bool Guarded::intact() const {
  for (size_t i = 0; i < kGuard; ++i)
    if (data_[i] != kGuardValue || data_[kGuard + size_ + i] != kGuardValue) return false;
  return true;
}

bool is_unwritten(float value) {
  return std::memcmp(&value, &kUnwritten, sizeof(value)) == 0;
}

Samples::Samples(const std::vector<int64_t>& numbers, uint64_t inputs, const Shape& s, const Options& options)
    : frames_({static_cast<int64_t>(numbers.size()), s.frames, 3, s.height, s.width}),
      latents_({static_cast<int64_t>(numbers.size()), s.latent_channels, s.frames, s.latent_height,
                s.latent_width}),
      sigmas_({static_cast<int64_t>(numbers.size())}),
      reference_({static_cast<int64_t>(numbers.size()), s.frames, 3, s.height, s.width}),
      mask_({static_cast<int64_t>(numbers.size()), s.frames, 1, s.height, s.width}) {
  for (size_t b = 0; b < numbers.size(); ++b) {
    const auto number = static_cast<uint64_t>(numbers[b]);
    draw(frames_, b, number);
    draw(reference_, b, number + 1000);
    fill(latents_, b, number + 2000, -1.5, 1.5);
    fill(mask_, b, number + 3000, 0.0, 1.0);
    sigmas_.data[b] = static_cast<float>(0.1 + 0.8 * noise(number, 3));
    const size_t prompt = number % options.prompts.size();
    prompts_.push_back(options.prompts[prompt]);
    metadata_.push_back(prompt < options.metadata.size() ? options.metadata[prompt] : "{}");
    ids_.push_back(number);
    seeds_.push_back(number * 1000003ULL + 17);
    groups_.push_back(static_cast<int64_t>(number / std::max<int64_t>(2, options.batch / 2)));
  }
  for (size_t b = 0; b < numbers.size(); ++b) {
    prompt_views_.push_back(prompts_[b].c_str());
    metadata_views_.push_back(metadata_[b].c_str());
  }
  const auto lend = [&](uint64_t bit, const Tensor& tensor) {
    return inputs & bit ? tensor.view() : nullptr;
  };
  request_.size = sizeof(request_);
  request_.batch = static_cast<uint32_t>(numbers.size());
  request_.frames = lend(THALWEG_INPUT_FRAMES, frames_);
  request_.latents = lend(THALWEG_INPUT_LATENTS, latents_);
  request_.sigmas = lend(THALWEG_INPUT_LATENTS, sigmas_);
  request_.reference = lend(THALWEG_INPUT_REFERENCE, reference_);
  request_.mask = lend(THALWEG_INPUT_MASK, mask_);
  request_.prompts = prompt_views_.data();
  request_.sample_ids = ids_.data();
  request_.seeds = seeds_.data();
  request_.group_ids = groups_.data();
  request_.metadata_json = metadata_views_.data();
  request_.step_index = -1;
  request_.num_steps = 10;
  request_.fps = s.frames > 1 ? 8.0 : 0.0;
  request_.phase = THALWEG_PHASE_SCORE;
}

std::string Samples::changed(const Samples& before) const {
  if (!frames_.same_as(before.frames_)) return "frames";
  if (!latents_.same_as(before.latents_)) return "latents";
  if (!sigmas_.same_as(before.sigmas_)) return "sigmas";
  if (!reference_.same_as(before.reference_)) return "reference";
  if (!mask_.same_as(before.mask_)) return "mask";
  if (prompts_ != before.prompts_ || metadata_ != before.metadata_) return "prompts or metadata_json";
  if (ids_ != before.ids_ || seeds_ != before.seeds_ || groups_ != before.groups_)
    return "sample_ids, seeds or group_ids";
  if (request_.batch != before.request_.batch || request_.size != before.request_.size) return "the request";
  return "";
}

}  // namespace thalweg::validator
