#include "rewards/hosted/hosted_reward.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cmath>
#include <future>
#include <thread>

#include "engine/core/error.h"
#include "rewards/open_reward.h"
#include "tests/rewards/fixtures.h"

namespace thalweg::testing {
namespace {

std::array<Descriptor, 2> line() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

TEST(Wire, MessagesArriveInOrderWhateverTheirSize) {
  auto [a, b] = line();
  Wire one(std::move(a)), other(std::move(b));
  const std::string large(3 << 20, 'x');
  const auto sent = std::async(std::launch::async, [&] {
    one.send({{"n", 1}});
    one.send({{"text", large}});
  });
  EXPECT_EQ(other.receive(5.0)->at("n"), 1);
  EXPECT_EQ(other.receive(5.0)->at("text").get<std::string>(), large);
}

TEST(Wire, TimeEndsAndSoDoesTheOtherSide) {
  auto [a, b] = line();
  Wire one(std::move(a));
  EXPECT_FALSE(one.receive(0.01).has_value());
  ASSERT_EQ(::send(b.get(), "\3\0\0\0\0\0\0\0{]}", 11, 0), 11);
  EXPECT_THROW(one.receive(1.0), WireBroken);
  ASSERT_EQ(::send(b.get(), "\0\0\0\0\0\0\1\0", 8, 0), 8);  // 2^48 bytes
  EXPECT_THROW(one.receive(1.0), WireBroken);
  ASSERT_EQ(::send(b.get(), "\5\0\0\0\0\0\0\0{", 9, 0), 9);
  b.reset();
  EXPECT_THROW(one.receive(1.0), WireBroken);
  EXPECT_THROW(one.send({{"n", 1}}), WireBroken);
}

TEST(SharedMemory, GrowsAndIsSeenAndCannotBeMadeSmaller) {
  SharedMemory memory;
  memory.grow(10);
  memory.data()[9] = std::byte{7};
  memory.grow(1 << 20);
  EXPECT_EQ(memory.data()[9], std::byte{7});
  EXPECT_NE(::ftruncate(memory.descriptor(), 0), 0);
  SharedMemory other(Descriptor(::dup(memory.descriptor())));
  other.map(memory.size());
  EXPECT_EQ(other.data()[9], std::byte{7});
  EXPECT_THROW(other.map(memory.size() + (1 << 20)), WireBroken);
}

TEST(TensorAt, IsRefusedOutsideOfTheMemory) {
  SharedMemory memory;
  memory.grow(1024);
  const auto bytes = memory.size();
  EXPECT_EQ(tensor_at(memory, {{"offset", 64}, {"shape", {2, 3}}}).numel(), 6);
  const auto refused = [&](const Json& place) {
    EXPECT_THROW(tensor_at(memory, place), WireBroken) << place;
  };
  refused({{"offset", bytes}, {"shape", {1}}});
  refused({{"offset", bytes - 4}, {"shape", {2}}});
  refused({{"offset", 0}, {"shape", {int64_t{1} << 40, int64_t{1} << 40}}});
  refused({{"offset", 0}, {"shape", {-1}}});
  refused({{"offset", "a"}, {"shape", {1}}});
  refused(Json::array());
}

RewardSpec spec_of(const std::filesystem::path& library, const std::string& isolation) {
  RewardSpec spec;
  spec.plugin = library.string();
  spec.isolation = isolation;
  spec.pointer = "/rewards/0";
  return spec;
}

TEST(HostedReward, EveryFieldCrossesAsItDoesIntoALibrary) {
  std::vector<std::string> lines;
  Activation activation;
  activation.seed = 41;
  activation.log = [&](int severity, const std::string& plugin, const std::string& text) {
    if (!text.starts_with("sandbox: "))  // of an older kernel
      lines.push_back(std::to_string(severity) + " " + plugin + " " + text);
  };
  const auto inside = open_reward(spec_of(probe_library(), "inproc"), built_plugins(), activation);
  const auto outside = open_reward(spec_of(probe_library(), ""), built_plugins(), activation);
  EXPECT_EQ(lines, (std::vector<std::string>{"1 probe seed 41", "1 probe seed 41"}));
  EXPECT_EQ(outside->info().name, "probe");
  EXPECT_EQ(outside->info().dimensions_K, inside->info().dimensions_K);
  EXPECT_FALSE(outside->info().deterministic);
  for (const auto& input : {full_input(), frames_input(random_frames(3, 1, 2, 2)), full_input()}) {
    const auto a = inside->score(input), b = outside->score(input);
    EXPECT_TRUE(at::allclose(a.values_BK, b.values_BK, 0, 0, true));
    ASSERT_EQ(a.failures.size(), b.failures.size());
    for (size_t i = 0; i < a.failures.size(); ++i) {
      EXPECT_EQ(a.failures[i].reason, b.failures[i].reason);
      EXPECT_EQ(a.failures[i].samples, b.failures[i].samples);
      EXPECT_EQ(a.failures[i].dimension, b.failures[i].dimension);
    }
  }
}

TEST(HostedReward, GradientsAreTheLibrarys) {
  auto energy = spec_of(probe_library(), "inproc");
  energy.id = "org.thalweg.test.energy";
  const auto inside = open_reward(energy, built_plugins(), Activation{});
  energy.isolation = "process";
  const auto outside = open_reward(energy, built_plugins(), Activation{});
  EXPECT_EQ(inside->info().gradient_of, outside->info().gradient_of);
  auto input = frames_input(random_frames(4, 1, 6, 6));
  input.latents_BCFHW = at::rand({4, 2, 1, 3, 3});
  input.sigmas_B = at::full({4}, 0.5);
  const auto K = static_cast<int64_t>(inside->info().dimensions_K.size());
  const auto cotangent = at::rand({4, K});
  const auto a = inside->gradient(input, cotangent), b = outside->gradient(input, cotangent);
  EXPECT_EQ(a.frames_BF3HW.defined(), b.frames_BF3HW.defined());
  if (a.frames_BF3HW.defined()) {
    EXPECT_TRUE(at::allclose(a.frames_BF3HW, b.frames_BF3HW, 0, 0, true));
  }
  EXPECT_EQ(a.failures.size(), b.failures.size());
}

TEST(HostedReward, MistakesAreErrorsAtTheirPlace) {
  const auto e = error_of([] {
    auto spec = spec_of(color_library(), "process");
    spec.config = {{"channel", "grey"}};
    open_reward(spec, built_plugins(), Activation{});
  });
  EXPECT_EQ(e.place, "/rewards/0/config/channel");
  const auto outside = open_reward(spec_of(color_library(), "process"), built_plugins(), Activation{});
  EXPECT_EQ(error_of([&] { outside->score(ScoreInput{}); }).place, "/rewards/0");
  EXPECT_TRUE(std::isfinite(
      outside->score(frames_input(random_frames(1, 1, 2, 2))).values_BK.item<double>()));  // it lives on
}

// Answers "open" as it should, and whatever comes next with the bytes that it was given.
constexpr const char* kLiar = R"(
import json, socket, struct, sys
line = socket.socket(fileno=3)
def take(n):
    data = b""
    while len(data) < n:
        part = line.recv(n - len(data))
        if not part: sys.exit(0)
        data += part
    return data
def say(text): line.sendall(struct.pack("<Q", len(text)) + text)
while True:
    op = json.loads(take(*struct.unpack("<Q", take(8))))["op"]
    if op == "close": sys.exit(0)
    say(json.dumps({"info": {"name": "liar", "dimensions": ["v"], "required": ["frames"], "optional": [],
                             "gradient_of": "frames", "deterministic": True}}).encode() if op == "open" else sys.argv[1].encode())
)";

TEST(HostedReward, WhatAProcessSaysIsChecked) {
  const std::pair<const char*, const char*> lies[] = {
      {"{}", "left out what was asked for"},
      {"[]", "left out what was asked for"},
      {"{\"failures\": 3}", "sent failures that cannot be read"},
      {"{\"failures\": [{\"reason\": \"x\", \"samples\": 1, \"dimension\": 7}]}", "that were not asked for"},
      {"{\"failures\": [{\"reason\": \"x\", \"samples\": -5}]}", "that were not asked for"},
      {"not JSON", "sent a message that cannot be read"},
      {"{\"error\": 3}", "sent an error that cannot be read"}};
  const auto input = frames_input(random_frames(2, 1, 2, 2));
  for (const auto& [lie, said] : lies) {
    HostedReward reward({{"python3", "-c", kLiar, lie}, "liar", Json::object()}, {.restarts = 0},
                        Activation{}, "/r");
    const auto scored = reward.score(input);
    EXPECT_TRUE(scored.values_BK.isnan().all().item<bool>());
    EXPECT_NE(only(scored.failures).find(said), std::string::npos) << lie << ": " << only(scored.failures);
    const auto gradient = reward.gradient(input, at::ones({2, 1}));
    EXPECT_TRUE(gradient.frames_BF3HW.isnan().all().item<bool>());
    EXPECT_NE(only(gradient.failures).find("no restart is left"), std::string::npos);
  }
}

TEST(HostedReward, LogLinesBuyNoTime) {
  const std::string talker = std::string("import time\n") + kLiar;
  auto text = talker;
  const std::string lie = "sys.argv[1].encode()";
  text.replace(text.find(lie), lie.size(), "b'{\"log\": [1, \"still here\"]}'");
  text +=
      "    while op == 'score':\n        time.sleep(0.02)\n        say(b'{\"log\": [1, \"still here\"]}')\n";
  int lines = 0;
  Activation activation;
  activation.log = [&](int, const std::string&, const std::string&) { ++lines; };
  HostedReward reward({{"python3", "-c", text}, "talker", Json::object()}, {.call_s = 2.0, .restarts = 0},
                      activation, "/r");
  const auto scored = reward.score(frames_input(random_frames(2, 1, 2, 2)));
  EXPECT_NE(only(scored.failures).find("did not return within 2 s"), std::string::npos);
  EXPECT_GT(lines, 1);
}

TEST(HostedReward, DifferentRewardsAreCalledAtTheSameTime) {
  const auto a = open_reward(spec_of(color_library(), "process"), built_plugins(), Activation{});
  const auto b = open_reward(spec_of(color_library(), "process"), built_plugins(), Activation{});
  const auto input = frames_input(random_frames(8, 1, 16, 16));
  const auto expected = a->score(input).values_BK;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int n = 0; n < 50; ++n) EXPECT_TRUE(at::equal((i % 2 ? a : b)->score(input).values_BK, expected));
    });
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace thalweg::testing
