#include "engine/models/vision/image_processor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "engine/core/error.h"

namespace thalweg {
namespace {

ImageProcessorConfig parsed(const std::string& text) {
  return ImageProcessor::parse(parse_json(text, "test"), "preprocessor_config.json");
}

std::string complaint(const std::string& text) {
  try {
    parsed(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(ImageProcessor, ReadsTheFormsThatFilesHave) {
  const auto standard = parsed("{}");
  EXPECT_EQ(standard.shortest_edge, 224);
  EXPECT_EQ(standard.side, 224);
  const auto old = parsed(R"({"size": 336, "crop_size": 320, "resample": 2, "feature_extractor_type": "X"})");
  EXPECT_EQ(old.shortest_edge, 336);
  EXPECT_EQ(old.side, 320);
  EXPECT_EQ(old.filter, ResampleFilter::bilinear);
  const auto square =
      parsed(R"({"size": {"height": 64, "width": 64}, "do_center_crop": false, "resample": 1})");
  EXPECT_EQ(square.shortest_edge, 0);
  EXPECT_EQ(square.side, 64);
  EXPECT_EQ(square.filter, ResampleFilter::lanczos);
  const auto bare = parsed(R"({"do_resize": false, "do_rescale": false, "do_normalize": false,
                               "crop_size": {"height": 8, "width": 8}, "_valid_processor_keys": ["size"],
                               "do_pad": false, "pad_size": null})");
  EXPECT_EQ(bare.shortest_edge, -1);
  EXPECT_EQ(bare.rescale_factor, 1.0);
  EXPECT_EQ(bare.mean[1], 0.0);
  EXPECT_EQ(bare.std[2], 1.0);
}

TEST(ImageProcessor, RefusesByNameWhatItDoesNotDo) {
  for (const auto& [text, word] : std::vector<std::pair<std::string, std::string>>{
           {R"({"do_pad": true})", "do_pad"},
           {R"({"resample": 0})", "resample"},
           {R"({"resample": 4})", "resample"},
           {R"({"resample": "bicubic"})", "resample"},
           {R"({"size": {"longest_edge": 3}})", "size"},
           {R"({"size": {"shortest_edge": 3, "longest_edge": 3}})", "size"},
           {R"({"size": 0})", "size"},
           {R"({"size": {"height": 32, "width": 64}})", "size"},
           {R"({"size": {"height": 32, "width": 32}})", "crop_size"},
           {R"({"crop_size": {"height": 32, "width": 64}})", "crop_size"},
           {R"({"crop_size": {"shortest_edge": 32}})", "crop_size"},
           {R"({"crop_size": 100000000})", "crop_size"},
           {R"({"do_center_crop": false})", "do_center_crop"},
           {R"({"do_resize": 1})", "do_resize"},
           {R"({"image_mean": [0, 0]})", "image_mean"},
           {R"({"image_mean": 0.5})", "image_mean"},
           {R"({"image_std": [1, 1, 0]})", "image_std"},
           {R"({"rescale_factor": 0})", "rescale_factor"},
           {R"([])", "object"}}) {
    const auto said = complaint(text);
    EXPECT_NE(said.find(word), std::string::npos) << text << ": " << said;
    EXPECT_NE(said.find("preprocessor_config.json"), std::string::npos) << said;
  }
}

TEST(ImageProcessor, EverySizeOfPictureBecomesTheSameSquare) {
  ImageProcessorConfig config;
  config.side = 16;
  for (const int64_t edge : {16, 20, 10, 0, -1}) {  // 10 and -1 can leave less than 16 pixels
    config.shortest_edge = edge;
    const ImageProcessor processor(config);
    for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 500}, {500, 3}, {16, 16}, {17, 15}, {2, 100000}}) {
      const auto frame = at::full({3, height, width}, 0.5f);
      for (const auto& pixels :
           {processor.exact(frame), processor.smooth(frame), processor.letterboxed(frame)}) {
        EXPECT_EQ(pixels.sizes(), (at::IntArrayRef{3, 16, 16}));
        EXPECT_TRUE(pixels.isfinite().all().item<bool>());
      }
    }
  }
}

TEST(ImageProcessor, NormalizesLevelsByChannel) {
  ImageProcessorConfig config;
  config.shortest_edge = config.side = 4;
  const ImageProcessor processor(config);
  const auto frame = at::zeros({3, 4, 4});
  frame[1].fill_(128.0f / 255.0f);
  for (const auto& pixels : {processor.exact(frame), processor.smooth(frame), processor.letterboxed(frame)}) {
    EXPECT_NEAR(pixels[0][2][1].item<double>(), -0.48145466 / 0.26862954, 1e-6);
    EXPECT_NEAR(pixels[1][0][3].item<double>(), (128.0 / 255.0 - 0.4578275) / 0.26130258, 1e-6);
  }
}

TEST(ImageProcessor, ExactSeesLevelsAndSmoothDoesNot) {
  ImageProcessorConfig config;
  config.shortest_edge = config.side = 4;
  const ImageProcessor processor(config);
  const auto frame = at::full({3, 4, 4}, 100.0f / 255.0f), nearby = frame + 0.4f / 255.0f;
  EXPECT_TRUE(at::equal(processor.exact(frame), processor.exact(nearby)));
  EXPECT_FALSE(at::equal(processor.smooth(frame), processor.smooth(nearby)));
  EXPECT_TRUE(at::equal(processor.exact(frame + 5.0f), processor.exact(at::ones({3, 4, 4}))));
}

TEST(ImageProcessor, ALetterboxKeepsAllOfThePicture) {
  ImageProcessorConfig config;
  config.side = 8;
  config.mean.fill(0.0);
  config.std.fill(1.0);
  const ImageProcessor processor(config);
  // Half to even: 5 of 16 are 2.5 lines of 8 and become 2, 7 are 3.5 and become 4. The odd line of black is
  // behind.
  for (const auto& [height, width, first, count] : std::vector<std::array<int64_t, 4>>{
           {10, 20, 2, 4}, {5, 16, 3, 2}, {7, 16, 2, 4}, {6, 16, 2, 3}, {8, 8, 0, 8}}) {
    const auto white = at::ones({3, height, width});
    const auto sum_8 = processor.letterboxed(white)[0].sum(1);
    auto expected_8 = at::zeros({8});
    expected_8.slice(0, first, first + count).fill_(8.0);
    EXPECT_TRUE(at::allclose(sum_8, expected_8)) << height << " x " << width << ": " << sum_8;
    const auto turned = processor.letterboxed(white.transpose(1, 2).contiguous());
    EXPECT_TRUE(at::allclose(turned[0].sum(0), expected_8));
  }
}

}  // namespace
}  // namespace thalweg
