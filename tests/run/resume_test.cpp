// Which run a checkpoint belongs to: what decides the numbers, and no more.
#include "pipelines/resume.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/io/checkpoint.h"
#include "engine/io/fingerprint.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() { put("model/model_index.json", "{}"), put("model/transformer/config.json", "{}"); }

  void put(const std::string& name, const std::string& text) const {
    fs::create_directories((scratch_ / name).parent_path());
    write_file(scratch_ / name, text);
  }
  Json identity(const Json& job, const char* model = "model") const {
    auto described = job;
    return run_identity(
        [&](Fields& f) {
          f.foreign({"job", ""}, described);
        },
        {{"/job/model/path", scratch_ / model}});
  }
  static Json job(const std::string& model) { return {{"model", {{"path", model}}}, {"seed", 1}}; }
  void write(const Json& identity) const {
    CheckpointWriter writer(scratch_ / "run", 4);
    writer.commit(Json::object(), identity);
  }
  void require(const Json& identity) const {
    require_own_checkpoints(scratch_ / "run", [&] { return identity; });
  }

  const Scratch scratch_;
};

TEST_F(ResumeTest, AModelThatMovedIsTheSame) {
  write(identity(job("model")));
  fs::rename(scratch_ / "model", scratch_ / "moved");
  put("moved/notes.txt", "drawn with love");
  put("moved/sd3.safetensors", "all in one file, which is not read");
  put("moved/transformer/README.md", "what this is");
  EXPECT_NO_THROW(require(identity(job("moved"), "moved")));
  auto other = job("moved");
  other["seed"] = 2;
  EXPECT_ERROR(require(identity(other, "moved")), "/output");
  put("moved/transformer/config.json", "{ }");
  EXPECT_ERROR(require(identity(job("moved"), "moved")), "/job/model/path");
}

TEST_F(ResumeTest, AFileThatIsGoneOrNewIsNamed) {
  put("model/transformer/weights.safetensors", "x");
  write(identity(job("model")));
  fs::remove(scratch_ / "model/transformer/weights.safetensors");
  EXPECT_ERROR(require(identity(job("model"))), "/job/model/path");
  put("model/transformer/weights.safetensors", "x");
  EXPECT_NO_THROW(require(identity(job("model"))));
  put("model/vae/config.json", "{}");
  EXPECT_ERROR(require(identity(job("model"))), "/job/model/path");
}

TEST(DecidingPart, LeavesOutWhatNoNumberDependsOn) {
  const Json job = {{"name", "a"},
                    {"seed", 1},
                    {"model", {{"path", "m"}, {"prompt_cache", {{"folder", ""}}}}},
                    {"evaluate", {{"every", 2}, {"pictures", 3}, {"baselines", Json::array()}}},
                    {"optimizer", {{"schedule", "constant"}}},
                    {"iterations", 5},
                    {"monitors", Json::object()},
                    {"checkpoint", {{"every", 1}}},
                    {"parallel", {{"workers", 2}, {"lanes", 2}}},
                    {"save_images", true},
                    {"output", "o"}};
  EXPECT_EQ(deciding_part(job), Json({{"seed", 1},
                                      {"model", {{"path", "m"}}},
                                      {"evaluate", {{"every", 2}}},
                                      {"optimizer", {{"schedule", "constant"}}},
                                      {"parallel", {{"lanes", 2}}}}));
  auto falling = job;
  falling["optimizer"]["schedule"] = "cosine";
  EXPECT_EQ(deciding_part(falling).at("iterations"), 5);
}

// What a judge behind a URL may cost, and where its answers are kept, may change: a run that a cap has paused
// goes on.
TEST(DecidingPart, IsNotHowAServerIsAsked) {
  const auto job_of = [](const std::string& plugin, Json config) {
    return Json{
        {"rewards", {{{"plugin", plugin}, {"host", {{"restarts", 1}}}, {"config", std::move(config)}}}}};
  };
  const Json before = {
      {"url", "https://judge"}, {"limits", {{"max_cost", 1}}}, {"cache", {{"file", "a.sqlite"}}}};
  auto after = before;
  after["limits"]["max_cost"] = 2;
  after["retries"] = 9;
  EXPECT_EQ(deciding_part(job_of("remote", before)), deciding_part(job_of("remote", after)));
  for (const auto* other : {"clip", "elsewhere/remote.so"})
    EXPECT_NE(deciding_part(job_of(other, before)), deciding_part(job_of(other, after))) << other;
  after["url"] = "https://another";
  EXPECT_NE(deciding_part(job_of("remote", before)), deciding_part(job_of("remote", after)));
}

// A word that happens to be the name of something here is no input; a path is, and so is what stands under
// the key of one.
TEST(AddInputs, TakesWhatIsMeantAsAPath) {
  const Scratch scratch;
  const auto here = fs::current_path();
  fs::current_path(scratch / "");
  fs::create_directories("out/deep");
  write_file("weights.json", "{}");
  RewardSpec spec;
  spec.plugin = THALWEG_BUILD_DIR "/plugins/color.so";
  spec.isolation = "inproc";
  spec.pointer = "/rewards/0";
  spec.config = {{"channel", "out"},         {"where", "."},   {"table", "weights.json"},
                 {"deep", "out/deep"},       {"model", "out"}, {"list", {"out", "./out"}},
                 {"absent", "out/not there"}};
  std::vector<InputFile> inputs;
  add_inputs(inputs, {spec});
  fs::current_path(here);
  std::vector<std::string> found;
  for (const auto& input : inputs) found.push_back(input.pointer);
  EXPECT_EQ(found, (std::vector<std::string>{"/rewards/0/plugin", "/rewards/0/config/table",
                                             "/rewards/0/config/deep", "/rewards/0/config/model",
                                             "/rewards/0/config/list/1"}));
}

}  // namespace
}  // namespace thalweg
