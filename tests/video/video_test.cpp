// Videos written and read again, and what cannot be.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <cmath>
#include <vector>

#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/io/image.h"
#include "engine/video/video_queue.h"
#include "engine/video/video_reader.h"
#include "engine/video/video_writer.h"
#include "tests/io/faults.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

// Smooth waves that drift two pixels a frame, one for each colour.
at::Tensor drifting(int64_t frames, int64_t height, int64_t width) {
  const auto options = at::dtype(at::kFloat);
  const auto f = at::arange(frames, options).view({-1, 1, 1, 1}),
             c = at::arange(3, options).view({1, 3, 1, 1}),
             y = at::arange(height, options).view({1, 1, -1, 1}),
             x = at::arange(width, options).view({1, 1, 1, -1});
  return at::sin(0.07 * (x + 2.0 * f) + (0.03 + 0.02 * c) * y + 2.0 * c).mul(0.45).add(0.5);
}

double psnr(const at::Tensor& a, const at::Tensor& b) {
  const double mean =
      (eight_bit(a).to(at::kDouble) - eight_bit(b).to(at::kDouble)).pow(2).mean().item<double>();
  return 10.0 * std::log10(255.0 * 255.0 / mean);
}

TEST(Video, FramesAndRateComeBack) {
  const Scratch scratch;
  const auto frames = drifting(21, 48, 80);
  write_video(scratch / "a.mp4", frames, {30000, 1001});
  const auto video = read_video(scratch / "a.mp4");
  ASSERT_EQ(video.frames_F3HW.sizes(), frames.sizes());
  EXPECT_EQ(video.fps, 30000.0 / 1001.0);
  EXPECT_TRUE(video.notes.empty());
  EXPECT_GT(psnr(video.frames_F3HW, frames), 36.0);
  // Of each frame by itself: none is lost or in another's place.
  for (int64_t f = 0; f < 21; ++f) {
    EXPECT_GT(psnr(video.frames_F3HW[f], frames[f]), 34.0) << f;
    EXPECT_LT(psnr(video.frames_F3HW[f], frames[(f + 1) % 21]), 32.0) << f;
  }
}

TEST(Video, ColoursComeBack) {
  const Scratch scratch;
  const std::vector<double> colours = {0.8, 0.2, 0.1, 0.1, 0.7, 0.3, 0.2, 0.3,
                                       0.9, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0};
  for (size_t i = 0; i < colours.size(); i += 3) {
    const auto colour_3 = at::tensor(at::ArrayRef(colours).slice(i, 3), at::kFloat);
    write_video(scratch / "a.mp4", colour_3.view({1, 3, 1, 1}).expand({2, 3, 32, 32}), {});
    const auto back_3 = read_video(scratch / "a.mp4").frames_F3HW.to(at::kFloat).div(255.0).mean({0, 2, 3});
    EXPECT_LT((back_3 - colour_3).abs().max().item<float>(), 0.012F) << colour_3;
  }
}

TEST(Video, OneFrameAndSmallSides) {
  const Scratch scratch;
  for (const auto& [height, width] :
       {std::pair{2, 2}, std::pair{2, 64}, std::pair{66, 2}, std::pair{18, 34}}) {
    write_video(scratch / "a.mp4", drifting(1, height, width), {25, 1});
    const auto video = read_video(scratch / "a.mp4");
    EXPECT_EQ(video.frames_F3HW.sizes(), at::IntArrayRef({1, 3, height, width}));
    EXPECT_EQ(video.fps, 25.0);
  }
}

TEST(Video, TheSameFramesGiveTheSameBytes) {
  const Scratch scratch;
  const auto frames = drifting(30, 64, 64);
  write_video(scratch / "a.mp4", frames, {});
  // In parts, and as levels.
  VideoWriter writer(scratch / "b.mp4", 64, 64, {});
  writer.write(eight_bit(frames.slice(0, 0, 7)));
  writer.write(frames.slice(0, 7));
  writer.finish();
  EXPECT_EQ(read_file(scratch / "a.mp4"), read_file(scratch / "b.mp4"));
}

TEST(Video, OddSidesAreRefusedOrPadded) {
  const Scratch scratch;
  const auto frames = drifting(4, 31, 47);
  EXPECT_ERROR(write_video(scratch / "a.mp4", frames, {}), "take 48 x 32");
  EXPECT_FALSE(fs::exists(scratch / "a.mp4"));
  write_video(scratch / "a.mp4", frames, {}, OddSide::pad);
  const auto back = read_video(scratch / "a.mp4").frames_F3HW;
  ASSERT_EQ(back.sizes(), at::IntArrayRef({4, 3, 32, 48}));
  EXPECT_GT(psnr(back.slice(2, 0, 31).slice(3, 0, 47), frames), 32.0);
}

TEST(Video, WhatIsNoVideoIsRefused) {
  const Scratch scratch;
  EXPECT_ERROR(VideoWriter(scratch / "a.mp4", 9000, 16, {}), "9000");
  EXPECT_ERROR(VideoWriter(scratch / "a.mp4", 16, 16, {0, 1}), "frame rate");
  EXPECT_ERROR(VideoWriter(scratch / "a.mp4", 16, 16, {}).write(at::zeros({1, 3, 16, 18})), "[F,3,16,16]");
  EXPECT_ERROR(VideoWriter(scratch / "a.mp4", 16, 16, {}).finish(), "at least one frame");
  EXPECT_ERROR(read_video(scratch / "absent.mp4"), "No such file");
  write_file(scratch / "text.mp4", "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n");
  EXPECT_ERROR(read_video(scratch / "text.mp4"), "is no MP4");
  write_file(scratch / "empty.mp4", "");
  EXPECT_ERROR(read_video(scratch / "empty.mp4"), "is empty");
  EXPECT_EQ(::mkfifo((scratch / "pipe.mp4").c_str(), 0600), 0);
  EXPECT_ERROR(read_video(scratch / "pipe.mp4"), "regular file");
}

TEST(Video, LimitsAreKept) {
  const Scratch scratch;
  write_video(scratch / "a.mp4", drifting(20, 32, 32), {10, 1});
  const auto read = [&](VideoLimits limits) { return read_video(scratch / "a.mp4", limits); };
  EXPECT_ERROR(read({.pixels = 1023}), "1023 pixels");
  EXPECT_ERROR(read({.frames = 19}), "20 frames");
  EXPECT_ERROR(read({.bytes = 3 * 1024 * 20 - 1}), "once it is decoded");
  EXPECT_ERROR(read({.play_s = 1.0}), "longer than 1 s");
  EXPECT_EQ(read({.pixels = 1024, .frames = 20, .bytes = 3 * 1024 * 20, .play_s = 2.0}).frames_F3HW.size(0),
            20);
}

TEST(Video, AFileThatCannotBeWrittenLeavesTheOldOne) {
  const Scratch scratch;
  write_file(scratch / "a.mp4", "old");
  for (const auto* calls : {"open", "write", "rename"}) {
    faults_arm(calls, 1, 1, ENOSPC, scratch.folder().c_str());
    EXPECT_ERROR(write_video(scratch / "a.mp4", drifting(2, 16, 16), {}), "the disk is full");
    EXPECT_EQ(faults_disarm(), 1) << calls;
    EXPECT_EQ(read_file(scratch / "a.mp4"), "old");
    EXPECT_FALSE(fs::exists(scratch / "a.mp4.tmp"));
  }
}

TEST(Video, AFolderOfFramesIsReadInNaturalOrder) {
  const Scratch scratch;
  fs::create_directory(scratch / "clip");
  for (int64_t f = 0; f < 12; ++f)
    write_png(scratch / "clip" / ("frame" + std::to_string(f) + ".png"),
              at::full({3, 4, 6}, static_cast<double>(f) / 255.0));
  write_file(scratch / "clip/notes.txt", "not a frame");
  const auto video = read_video(scratch / "clip");
  ASSERT_EQ(video.frames_F3HW.sizes(), at::IntArrayRef({12, 3, 4, 6}));
  for (int64_t f = 0; f < 12; ++f) EXPECT_EQ(video.frames_F3HW[f].max().item<int64_t>(), f);
  EXPECT_EQ(video.fps, 0.0);
  EXPECT_ERROR(read_video(scratch / "clip", {.frames = 11}), "12 PNG files");
  write_png(scratch / "clip/frame99.png", at::zeros({3, 4, 4}));
  EXPECT_ERROR(read_video(scratch / "clip"), "another size");
  fs::create_directory(scratch / "none");
  EXPECT_ERROR(read_video(scratch / "none"), "holds no PNG file");
}

TEST(VideoQueue, WritesAllAndTellsFailures) {
  const Scratch scratch;
  VideoQueue queue(1);  // each waits for the one before it
  int afterwards = 0;
  for (int i = 0; i < 4; ++i)
    queue.add({{scratch / (std::to_string(i) + ".mp4"), drifting(3 + i, 16, 16)}}, [&] { ++afterwards; });
  queue.add(
      {{scratch / "odd.mp4", drifting(2, 16, 15)}, {scratch / "no/such/folder.mp4", drifting(2, 16, 16)}},
      [&] { ++afterwards; });
  const auto failed = queue.wait();
  ASSERT_EQ(failed.size(), 2);
  EXPECT_EQ(failed[0].path, scratch / "odd.mp4");
  EXPECT_NE(failed[1].message.find("cannot be written"), std::string::npos) << failed[1].message;
  EXPECT_TRUE(queue.wait().empty());
  EXPECT_EQ(afterwards, 5);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(read_video(scratch / (std::to_string(i) + ".mp4")).frames_F3HW.size(0), 3 + i);
}

TEST(VideoQueue, WhatComesAfterwardsMayThrow) {
  const Scratch scratch;
  VideoQueue queue;
  queue.add({{scratch / "a.mp4", drifting(2, 16, 16)}},
            [] { throw IoError("the store", "the disk is full"); });
  EXPECT_ERROR(queue.wait(), "the disk is full");
  EXPECT_ERROR(queue.add({{scratch / "b.mp4", drifting(2, 16, 16)}}), "the disk is full");
  EXPECT_TRUE(fs::exists(scratch / "a.mp4"));
}

TEST(VideoQueue, MayEndEarly) {
  const Scratch scratch;
  int afterwards = 0;
  {
    VideoQueue queue;
    for (int i = 0; i < 50; ++i)
      queue.add({{scratch / (std::to_string(i) + ".mp4"), drifting(8, 32, 32)}}, [&] { ++afterwards; });
  }
  EXPECT_LT(afterwards, 50);
}

TEST(FrameRate, IsTheFractionThatIsMeant) {
  EXPECT_EQ(frame_rate_of(16.0), (FrameRate{16, 1}));
  EXPECT_EQ(frame_rate_of(12.5), (FrameRate{25, 2}));
  EXPECT_EQ(frame_rate_of(0.1), (FrameRate{1, 10}));
  for (const double fps : {23.976, 24000.0 / 1001.0}) EXPECT_EQ(frame_rate_of(fps), (FrameRate{24000, 1001}));
  for (const double fps : {29.97, 30000.0 / 1001.0}) EXPECT_EQ(frame_rate_of(fps), (FrameRate{30000, 1001}));
  EXPECT_EQ(frame_rate_of(59.94), (FrameRate{60000, 1001}));
}

}  // namespace
}  // namespace thalweg
