// Pictures with captions: which files they are, how they become latents, and in which batches they come.
#include "pipelines/training/picture_set.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "pipelines/training/groups.h"
#include "tests/training/small_pictures.h"

namespace thalweg {
namespace {

const PictureSource kOne{.keys = {"file_name"}}, kPair{.keys = {"chosen", "rejected"}};

double logit(double p) {
  return std::log(p / (1.0 - p));
}

// Levels that 8 bits hold: (i + 1) / 17 is 15 (i + 1) / 255.
double level(int64_t i) {
  return static_cast<double>(i + 1) / 17.0;
}

class PictureSetTest : public ::testing::Test {
 protected:
  void write(int64_t count) const {
    std::vector<std::string> lines;
    for (int64_t i = 0; i < count; ++i) {
      const auto name = std::to_string(i) + ".png";
      write_grey(pictures_ / name, level(i));
      lines.push_back(R"({"file_name": ")" + name + R"(", "prompt": "p)" + std::to_string(i) + R"("})");
    }
    pictures_.write_lines(lines);
  }
  PictureFiles files(const PictureSource& source = kOne) const {
    return picture_files({pictures_.lines_path(), "/prompts/train"}, source);
  }
  PictureSet encode(const PictureSource& source = kOne, int workers = 1) const {
    Workers w(workers);
    return encode_pictures(SmallModel(), files(source), source, {.height = 2, .width = 2}, w, {});
  }

  SmallPictures pictures_;
};

TEST_F(PictureSetTest, LatentsAreOfTheLinesInTheirOrder) {
  write(13);
  const auto set = encode();
  ASSERT_EQ(set.latents_NKCFHW.sizes(), (at::IntArrayRef{13, 1, 1, 1, 2, 2}));
  for (int64_t i = 0; i < 13; ++i)
    EXPECT_TRUE(at::allclose(set.latents_NKCFHW[i], at::full({1, 1, 1, 2, 2}, logit(level(i)), at::kDouble),
                             0.0, 1e-5));
  EXPECT_TRUE(at::equal(set.latents_NKCFHW, encode(kOne, 3).latents_NKCFHW));
}

TEST_F(PictureSetTest, PairsKeepTheOrderOfTheirKeys) {
  write_grey(pictures_ / "good.png", level(9));
  write_grey(pictures_ / "bad.png", level(2));
  pictures_.write_lines({R"({"rejected": "bad.png", "prompt": "p", "chosen": "good.png"})"});
  const auto latents = encode(kPair).latents_NKCFHW;
  ASSERT_EQ(latents.sizes(), (at::IntArrayRef{1, 2, 1, 1, 2, 2}));
  EXPECT_NEAR(latents[0][0].mean().item<double>(), logit(level(9)), 1e-5);
  EXPECT_NEAR(latents[0][1].mean().item<double>(), logit(level(2)), 1e-5);
}

TEST_F(PictureSetTest, FilesAreNamedByTheirLine) {
  write(2);
  const auto all = files();
  ASSERT_EQ(all.inputs.size(), 2u);
  EXPECT_EQ(all.inputs[1].pointer, "/prompts/train/1/file_name");
  EXPECT_EQ(all.inputs[1].path, pictures_ / "1.png");
  auto elsewhere = kOne;
  elsewhere.folder = "/nowhere";
  EXPECT_ERROR(files(elsewhere), "/nowhere/0.png is not there");
}

TEST_F(PictureSetTest, RefusesLinesWithoutPictures) {
  write(1);
  pictures_.write_lines({R"({"file_name": "0.png", "prompt": "p"})", R"({"prompt": "q"})"});
  EXPECT_ERROR(files(), "line 2: has no \"file_name\"");
  EXPECT_ERROR(files(kPair), "line 1: has no \"chosen\"");
  pictures_.write_lines({R"({"file_name": 7, "prompt": "p"})"});
  EXPECT_ERROR(files(), "\"file_name\" must be the name of a file");
  pictures_.write_lines({R"({"file_name": "gone.png", "prompt": "p"})"});
  EXPECT_ERROR(files(), "gone.png is not there");
  pictures_.write_lines({R"({"file_name": "0.png"})"});
  EXPECT_ERROR(files(), "must be an object with a text \"prompt\"");
  pictures_.write_lines({});
  EXPECT_ERROR(files(), "holds no prompt");
  EXPECT_ERROR(picture_files({pictures_ / "prompts.txt", "/prompts/train"}, kOne), "/prompts/train");
}

TEST_F(PictureSetTest, RefusesPicturesOfAnotherSize) {
  write(2);
  write_grey(pictures_ / "1.png", level(7), 4, 6);
  EXPECT_ERROR(encode(), "1.png: is 6 x 4 pixels, and /sampler/width and height are 2 x 2 pixels");
  auto cropping = kOne;
  cropping.fit = "crop";
  EXPECT_NEAR(encode(cropping).latents_NKCFHW[1].mean().item<double>(), logit(level(7)), 1e-5);
}

TEST_F(PictureSetTest, RefusesWhatIsNoPictureAndWhatIsNotFinite) {
  write(1);
  pictures_.write_lines({R"({"file_name": "pictures.jsonl", "prompt": "p"})"});
  EXPECT_ERROR(encode(), "pictures.jsonl");
  write(1);
  write_grey(pictures_ / "0.png", 1.0);  // whose logit is infinite
  EXPECT_ERROR(encode(), "0.png: has latents that are not finite");
}

// Columns 0 .. 7 of two frames twice as wide as they are high: the middle is kept.
TEST(Cropped, KeepsTheMiddle) {
  const auto wide = (at::arange(8, at::kFloat) / 8.0).expand({2, 3, 4, 8});
  EXPECT_TRUE(at::equal(cropped(wide, 4, 4), wide.slice(3, 2, 6)));
  EXPECT_TRUE(at::equal(cropped(wide.transpose(2, 3), 4, 4), wide.transpose(2, 3).slice(2, 2, 6)));
  EXPECT_TRUE(at::equal(cropped(wide, 4, 8), wide));
  const auto half = cropped(wide, 2, 2);
  EXPECT_EQ(half.sizes(), (at::IntArrayRef{2, 3, 2, 2}));
  EXPECT_NEAR(half.mean().item<double>(), wide.mean().item<double>(), 1e-6);
  const auto larger = cropped(at::full({1, 3, 3, 5}, 0.25), 7, 6);
  EXPECT_EQ(larger.sizes(), (at::IntArrayRef{1, 3, 7, 6}));
  EXPECT_TRUE(at::allclose(larger, at::full({1, 3, 7, 6}, 0.25)));
}

class GivenGroups : public PictureSetTest {
 protected:
  void SetUp() override {
    write(5);
    small_.emplace(pictures_.parts(kOne), SmallPictures::options());
  }
  std::vector<MicroBatch> batches(int64_t iteration, const GroupPlan& plan, int64_t micro_batch,
                                  double dropout = 0.0) const {
    return given_groups(small_->training, iteration, plan, micro_batch, dropout);
  }

  std::optional<SmallTraining> small_;
};

TEST_F(GivenGroups, EveryPictureComesOnceInAPass) {
  std::multiset<std::string> seen;
  for (int64_t iteration = 0; iteration < 5; ++iteration)
    for (const auto& batch : batches(iteration, {3, 1, 1}, 2))
      for (size_t i = 0; i < batch.rows.size(); ++i) {
        const auto prompt = batch.rows[i].prompt;
        seen.insert(batch.conditioning.prompts[i]);
        EXPECT_EQ(batch.conditioning.prompts[i], "p" + std::to_string(prompt));
        EXPECT_NEAR(batch.trajectory.x0_BCFHW[static_cast<int64_t>(i)].mean().item<double>(),
                    logit(level(prompt)), 1e-5);
      }
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(seen.count("p" + std::to_string(i)), 3u);
}

TEST_F(GivenGroups, NoMicroBatchBelongsToTwoUpdates) {
  std::vector<size_t> sizes;
  std::vector<int64_t> groups, slots;
  for (const auto& batch : batches(2, {7, 1, 2}, 2)) {
    sizes.push_back(batch.rows.size());
    for (const auto& row : batch.rows) {
      groups.push_back(row.group);
      slots.push_back(row.slot);
    }
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{2, 1, 2, 2}));
  EXPECT_EQ(groups, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(slots, (std::vector<int64_t>{14, 15, 16, 17, 18, 19, 20}));
}

// The slot decides, so that any micro-batch drops the same.
TEST_F(GivenGroups, CaptionsAreDroppedByTheirSlot) {
  const auto prompts = [&](int64_t micro_batch, double dropout) {
    std::vector<std::string> all;
    for (const auto& batch : batches(0, {200, 1, 1}, micro_batch, dropout))
      all.insert(all.end(), batch.conditioning.prompts.begin(), batch.conditioning.prompts.end());
    return all;
  };
  const auto some = prompts(200, 0.25);
  EXPECT_EQ(some, prompts(7, 0.25));
  const auto dropped = std::count(some.begin(), some.end(), "");
  EXPECT_GT(dropped, 25);
  EXPECT_LT(dropped, 75);
  const auto none = prompts(50, 0.0), all = prompts(50, 1.0);
  EXPECT_EQ(std::count(none.begin(), none.end(), ""), 0);
  EXPECT_EQ(std::count(all.begin(), all.end(), ""), 200);
  for (size_t i = 0; i < some.size(); ++i)
    if (!some[i].empty()) EXPECT_EQ(some[i], none[i]);
}

}  // namespace
}  // namespace thalweg
