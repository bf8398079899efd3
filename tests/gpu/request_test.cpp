// What a plugin sees of tensors on a GPU.
#include "rewards/request.h"

#include <cstring>

#include "engine/core/rng.h"
#include "tests/gpu/gpu.h"

namespace thalweg {
namespace {

class GpuRequest : public GpuTest {
 protected:
  ScoreInput input() const {
    ScoreInput in;
    in.frames_BF3HW = normal_noise(1, Purpose::data, {1, 2}, 0, {1, 3, 4, 4}, at::kFloat, gpu_);
    in.prompts = {"a", "b"};
    return in;
  }
  static thalweg_reward_descriptor descriptor() {
    thalweg_reward_descriptor d{};
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS;
    d.devices = THALWEG_ON_CPU | THALWEG_ON_CUDA;
    return d;
  }
};

TEST_F(GpuRequest, LendsDeviceTensorsWithTheStream) {
  const auto in = input();
  const Request request(in, descriptor(), "/rewards/0", gpu_);
  const auto* frames = request.raw()->frames;
  ASSERT_NE(frames, nullptr);
  EXPECT_EQ(frames->device.type, THALWEG_DEVICE_TYPE_CUDA);
  EXPECT_EQ(frames->device.index, 0);
  EXPECT_EQ(frames->data, in.frames_BF3HW.data_ptr());  // no copy
  EXPECT_EQ(request.raw()->stream, native_stream(gpu_));
}

TEST_F(GpuRequest, CopiesToTheCpuForThoseThatAskForIt) {
  const auto in = input();
  const Request request(in.on_host(), descriptor(), "/rewards/0");
  const auto* frames = request.raw()->frames;
  EXPECT_EQ(frames->device.type, THALWEG_DEVICE_TYPE_CPU);
  EXPECT_EQ(request.raw()->stream, nullptr);
  const auto expected = in.frames_BF3HW.to(at::kCPU);
  EXPECT_EQ(std::memcmp(frames->data, expected.const_data_ptr(), expected.nbytes()), 0);
}

TEST_F(GpuRequest, CopiesToTheGpuWhatWasOnTheCpu) {
  auto in = input();
  in.frames_BF3HW = in.frames_BF3HW.to(at::kCPU);
  const BorrowedTensor borrowed(in.frames_BF3HW, gpu_);
  EXPECT_EQ(borrowed.view()->device.type, THALWEG_DEVICE_TYPE_CUDA);
  EXPECT_EQ(largest_difference(borrowed.tensor(), in.frames_BF3HW), 0.0);
}

}  // namespace
}  // namespace thalweg
