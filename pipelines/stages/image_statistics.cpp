#include "pipelines/stages/image_statistics.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <map>

namespace thalweg {
namespace {

constexpr int64_t kThumbnail = 8, kLevels = 256;
constexpr double kEdge = 0.1, kFlat = 0.02;

// Bits of each row's histogram; NaN pixels count as black, their row is marked by the caller.
at::Tensor entropy(const at::Tensor& luma_NP) {
  const int64_t n = luma_NP.size(0);
  const auto level =
      (at::nan_to_num(luma_NP, 0.0, 1.0, 0.0).clamp(0.0, 1.0) * (kLevels - 1)).round().to(at::kLong);
  const auto row = at::arange(n, level.options()).unsqueeze(1) * kLevels;
  const auto counts = at::bincount((level + row).flatten(), {}, n * kLevels).view({n, kLevels});
  const auto p = counts.to(at::kDouble) / static_cast<double>(luma_NP.size(1));
  return -at::xlogy(p, p).sum(1) / std::log(2.0);
}

at::Tensor edge_density(const at::Tensor& luma_NHW) {
  const int64_t h = luma_NHW.size(1), w = luma_NHW.size(2);
  if (h < 2 || w < 2) return at::zeros({luma_NHW.size(0)}, luma_NHW.options().dtype(at::kDouble));
  const auto corner = luma_NHW.slice(1, 0, h - 1).slice(2, 0, w - 1);
  const auto right = luma_NHW.slice(1, 0, h - 1).slice(2, 1, w) - corner,
             below = luma_NHW.slice(1, 1, h).slice(2, 0, w - 1) - corner;
  return (right.square() + below.square() > kEdge * kEdge).to(at::kFloat).mean({1, 2}, false, at::kDouble);
}

// [B,1]; NaN for one frame.
at::Tensor motion(const at::Tensor& x_N3HW, int64_t batch) {
  const auto x_BFD = x_N3HW.reshape({batch, x_N3HW.size(0) / batch, -1});
  const int64_t pairs = x_BFD.size(1) - 1;
  if (pairs < 1)
    return at::full({batch, 1}, std::numeric_limits<double>::quiet_NaN(), x_BFD.options().dtype(at::kDouble));
  const auto difference = x_BFD.narrow(1, 1, pairs) - x_BFD.narrow(1, 0, pairs);
  return difference.abs().mean({1, 2}, false, at::kDouble).unsqueeze(1);
}

}  // namespace

const std::vector<std::string>& image_statistic_names() {
  static const std::vector<std::string> names = {"image_entropy", "edge_density",    "saturation",
                                                 "brightness",    "constant_images", "motion"};
  return names;
}

ImageStatistics image_statistics(const at::Tensor& frames_BF3HW) {
  const int64_t batch = frames_BF3HW.size(0), frames = frames_BF3HW.size(1);
  const auto x_N3HW = frames_BF3HW.flatten(0, 1).to(at::kFloat);
  const auto luma_NHW =
      x_N3HW.select(1, 0) * 0.299 + x_N3HW.select(1, 1) * 0.587 + x_N3HW.select(1, 2) * 0.114;
  const auto largest = x_N3HW.amax(1), smallest = x_N3HW.amin(1);
  const auto saturation = (largest - smallest) / largest.clamp_min(1e-6);
  const auto deviation_N = x_N3HW.flatten(2).var(2, /*unbiased=*/false).amax(1).sqrt();
  const auto brightness = luma_NHW.mean({1, 2}, false, at::kDouble);
  auto values_NS = at::stack(
      {entropy(luma_NHW.flatten(1)), edge_density(luma_NHW), saturation.mean({1, 2}, false, at::kDouble),
       brightness, (deviation_N < kFlat).to(at::kDouble)},
      1);
  values_NS =
      at::where(at::isfinite(brightness).unsqueeze(1), values_NS, std::numeric_limits<double>::quiet_NaN());
  const auto thumbnails = at::adaptive_avg_pool2d(x_N3HW, {kThumbnail, kThumbnail});
  const auto values_BS = at::cat({values_NS.view({batch, frames, -1}).mean(1), motion(x_N3HW, batch)}, 1);
  return {values_BS.cpu(), thumbnails.reshape({batch, -1}).cpu()};
}

ImageStatistics concatenate(const std::vector<ImageStatistics>& parts) {
  std::vector<at::Tensor> values, thumbnails;
  for (const auto& part : parts) {
    if (!part.values_BS.defined()) continue;
    values.push_back(part.values_BS);
    thumbnails.push_back(part.thumbnails_BD);
  }
  return values.empty() ? ImageStatistics{} : ImageStatistics{at::cat(values), at::cat(thumbnails)};
}

double picture_diversity(const at::Tensor& thumbnails_BD, const std::vector<int64_t>& group_B) {
  TORCH_CHECK(thumbnails_BD.size(0) == static_cast<int64_t>(group_B.size()), "one group id a picture");
  const auto finite = at::isfinite(thumbnails_BD).all(1);
  std::map<int64_t, std::vector<int64_t>> rows;
  for (size_t i = 0; i < group_B.size(); ++i)
    if (finite[static_cast<int64_t>(i)].item<bool>()) rows[group_B[i]].push_back(static_cast<int64_t>(i));
  double sum = 0.0, groups = 0.0;
  for (const auto& [group, members] : rows) {
    if (members.size() < 2) continue;
    const auto pictures_GD = thumbnails_BD.index_select(0, at::tensor(members, at::kLong)).to(at::kDouble);
    // Mean of (a - b)^2 over all pairs a != b is twice the unbiased variance.
    sum += std::sqrt(2.0 * pictures_GD.var(0, /*unbiased=*/true).mean().item<double>());
    groups += 1.0;
  }
  return groups > 0.0 ? sum / groups : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace thalweg
