// Numbers of decoded pictures that move when a reward is exploited: texture, flat colour, sameness,
// stillness.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace thalweg {

struct ImageStatistics {
  at::Tensor values_BS;      // float64, columns image_statistic_names(); NaN where a picture is not finite,
                             // and for the motion of one frame
  at::Tensor thumbnails_BD;  // float32: each frame as 3 x 8 x 8 means, in [0,1]
};

/// image_entropy: bits of the luma's 256-level histogram, 0 to 8. edge_density: share of pixels whose luma
/// differs from the next one's (right and below, root of the squares' sum) by more than 0.1. saturation: mean
/// of (max - min) / max over the channels. brightness: mean luma (Rec. 601). constant_images: 1 where every
/// channel's deviation over the picture is below 0.02, else 0. motion: mean absolute difference of a frame
/// and the next, over pixels and channels, in [0,1].
const std::vector<std::string>& image_statistic_names();

/// Of frames in [0,1], each the mean over its frames (motion: over its pairs of frames), on the CPU whatever
/// the frames' device. A picture's numbers do not depend on its neighbours in the batch.
ImageStatistics image_statistics(const at::Tensor& frames_BF3HW);

/// Rows of all parts, in order; undefined when no part has any.
ImageStatistics concatenate(const std::vector<ImageStatistics>& parts);

/// How different the pictures of one group are: the root of the mean squared difference of two of them, over
/// all pairs and thumbnail pixels, in [0,1]; then the mean over groups. 0: all the same. Pictures that are
/// not finite are left out; NaN when no group has two.
double picture_diversity(const at::Tensor& thumbnails_BD, const std::vector<int64_t>& group_B);

}  // namespace thalweg
