#include "rewards/hosted/serve.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <memory>
#include <string>

#include "engine/core/error.h"
#include "rewards/hosted/encode.h"
#include "rewards/plugin_reward.h"

namespace thalweg {
namespace {

class Server {
 public:
  Server(Wire& wire, SharedMemory& memory) : wire_(wire), memory_(memory) {}

  // What is answered.
  Json reply_to(const Json& message) {
    const auto op = message.at("op").get<std::string>();
    if (op == "inspect")
      return {{"info", to_json(plugin_reward_info(file_of(message), message.at("id").get<std::string>(),
                                                  message.at("place").get<std::string>()))}};
    if (op == "open") return open(message);
    if (!reward_) throw WireBroken("asks before it opens a reward");
    memory_.map(message.at("memory").get<size_t>());
    if (op == "score") return score(message);
    if (op == "gradient") return gradient(message);
    throw WireBroken("asks for what is not known: " + op);
  }

 private:
  static std::filesystem::path file_of(const Json& message) {
    return message.at("plugin").get<std::string>();
  }

  Json open(const Json& message) {
    at::set_num_threads(message.at("threads").get<int>());
    auto activation = activation_from(message.at("activation"));
    activation.log = [this](int severity, const std::string&, const std::string& text) {
      wire_.send({{"log", {severity, text}}});
    };
    reward_ = std::make_unique<PluginReward>(file_of(message), message.at("config"), activation,
                                             message.at("place").get<std::string>(),
                                             message.at("id").get<std::string>());
    return {{"info", to_json(reward_->info())}};
  }

  ScoreInput input_of(const Json& message) const {
    return input_from(message.at("input"), message.at("tensors"), memory_);
  }

  Json score(const Json& message) {
    const auto scored = reward_->score(input_of(message));
    tensor_at(memory_, message.at("values")).copy_(scored.values_BK);
    return {{"failures", to_json(scored.failures)}};
  }

  Json gradient(const Json& message) {
    const auto cotangent_BK = tensor_at(memory_, message.at("tensors").at("cotangent"));
    const auto of = reward_->gradient(input_of(message), cotangent_BK);
    for (const auto& [name, place] : message.at("gradients").items())
      tensor_at(memory_, place).copy_(name == "frames" ? of.frames_BF3HW : of.latents_BCFHW);
    return {{"failures", to_json(of.failures)}};
  }

  Wire& wire_;
  SharedMemory& memory_;
  std::unique_ptr<Reward> reward_;
};

}  // namespace

void serve_rewards(Wire& wire, SharedMemory& memory) {
  const at::NoGradGuard no_grad;
  Server server(wire, memory);
  for (;;) {
    const auto message = *wire.receive(-1.0);
    if (message.at("op") == "close") return;
    try {
      wire.send(server.reply_to(message));
    } catch (const Error& e) {
      wire.send({{"error", {e.place(), e.message()}}});
    }
  }
}

}  // namespace thalweg
