#include "rewards/hosted/hosted_reward.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/endings.h"
#include "engine/core/error.h"
#include "rewards/nan_filled.h"
#include "rewards/running_calls.h"
#include "rewards/text.h"

namespace thalweg {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

// What a process answers to a question, {"error": [place, message]} being the user's mistake.
void refuse_error(const Json& reply) {
  if (!reply.is_object() || !reply.contains("error")) return;
  const auto& error = reply.at("error");
  if (!error.is_array() || error.size() != 2 || !error[0].is_string() || !error[1].is_string())
    throw WireBroken("sent an error that cannot be read");
  throw Error(error[0].get<std::string>(), error[1].get<std::string>());
}

RewardInfo info_of(const Json& reply) {
  auto info = info_from(reply.at("info"));
  info.elsewhere = true;
  return info;
}

// The next answer; log lines before it are handed on, and buy no time. Nothing where the time ends first.
std::optional<Json> next_answer(Wire& wire, double seconds, const std::string& name, const RewardLog& log) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (;;) {
    const double passed = std::chrono::duration<double>(Clock::now() - begin).count();
    auto message = wire.receive(std::max(seconds - passed, 0.0));
    if (!message || !message->is_object() || !message->contains("log")) return message;
    const auto& line = message->at("log");
    if (log && line.is_array() && line.size() == 2 && line[0].is_number_integer() && line[1].is_string())
      log(line[0].get<int>(), name, clean_text(line[1].get<std::string>().c_str()));
  }
}

}  // namespace

HostedReward::HostedReward(HostedTask task, const HostLimits& limits, const Activation& activation,
                           const std::string& place)
    : task_(std::move(task)), limits_(limits), activation_(activation), place_(place) {
  info_ = start();
  if (info_.dimensions_K.empty()) throw Error(place_, task_.name + " says of no dimension that it scores it");
}

RewardInfo HostedReward::start() {
  child_ = std::make_unique<ChildProcess>(task_.command, memory_, limits_.memory_gib * kGiB);
  auto message = task_.open;
  message["op"] = "open";
  message["activation"] = to_json(activation_);
  message["threads"] = at::get_num_threads();
  RewardInfo info;
  const auto wrong = call("activate", message, [&](const Json& reply) { info = info_of(reply); });
  if (!wrong.empty()) throw Error(place_, task_.name + ": " + wrong);
  return info;
}

void HostedReward::end(const std::string& what) {
  ended_ = what + child_->end();
  child_.reset();
}

std::string HostedReward::call(const char* function, const Json& message,
                               const std::function<void(const Json&)>& read) {
  try {
    if (!child_) {
      if (restarts_ >= limits_.restarts)
        return "its process " + ended_ + " and is not begun again: no restart is left";
      ++restarts_;
      if (auto wrong = begin_again(); !wrong.empty()) return wrong;
    }
    child_->wire().send(message);
    read(answer_of(function));
    return "";
  } catch (const WireClosed&) {
    if (child_) end("");
  } catch (const WireBroken& e) {
    if (child_) end(e.what() + std::string(", and "));
  } catch (const Json::exception&) {
    if (child_) end("left out what was asked for, and ");
  }
  return "its process " + ended_ + " in " + function;
}

// What went wrong, or "".
std::string HostedReward::begin_again() {
  try {
    if (start().dimensions_K == info_.dimensions_K) return "";
    end("has other dimensions than before, and ");
    return "its process " + ended_;
  } catch (const Error& e) {
    if (child_) end("");
    return "its process could not be begun again: " + e.message();
  }
}

Json HostedReward::answer_of(const char* function) {
  const ListedCall listed(task_.name, function);
  auto answer = next_answer(child_->wire(), limits_.call_s, task_.name, activation_.log);
  if (!answer) {
    end("did not return within " + in_seconds(limits_.call_s) + ", and ");
    throw WireBroken("it took too long");
  }
  refuse_error(*answer);
  return std::move(*answer);
}

// A column that is not there would be counted beside the others.
std::vector<CallFailure> HostedReward::failures_of(const Json& reply, int64_t batch) const {
  auto failures = failures_from(reply.at("failures"));
  for (const auto& f : failures)
    if (f.samples < 0 || f.samples > batch || f.dimension < -1 ||
        f.dimension >= static_cast<int64_t>(info_.dimensions_K.size()))
      throw WireBroken("counted samples or a dimension that were not asked for");
  return failures;
}

void HostedReward::write(const NamedTensors& tensors, const Json& places) {
  for (const auto& [name, tensor] : tensors)
    tensor_at(memory_, places.at(name)).copy_(on_host(tensor.detach()));
}

Scored HostedReward::score(const ScoreInput& input) {
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(mutex_);
  const auto batch = input.batch();
  const auto tensors = tensors_of(input, info_);
  Layout layout;
  const auto places = layout.place(tensors);
  const auto K = static_cast<int64_t>(info_.dimensions_K.size());
  const auto values = layout.place({batch, K});
  memory_.grow(layout.bytes());
  write(tensors, places);
  tensor_at(memory_, values).fill_(std::numeric_limits<float>::quiet_NaN());
  std::vector<CallFailure> failures;
  const auto wrong = call("score",
                          {{"op", "score"},
                           {"memory", memory_.size()},
                           {"input", to_json(input)},
                           {"tensors", places},
                           {"values", values}},
                          [&](const Json& reply) { failures = failures_of(reply, batch); });
  if (!wrong.empty()) return {nan_filled({batch, K}), {{wrong, batch}}};
  auto scored = tensor_at(memory_, values).clone();
  scored.masked_fill_(scored.isfinite().logical_not(), std::numeric_limits<float>::quiet_NaN());
  return {scored, std::move(failures)};
}

ScoreGradient HostedReward::gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) {
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(mutex_);
  if (info_.gradient_of == GradientOf::none) throw Error(place_, "this reward has no gradient");
  auto tensors = tensors_of(input, info_);
  tensors.emplace_back("cotangent", cotangent_BK);
  Layout layout;
  const auto places = layout.place(tensors);
  Json gradients = Json::object();
  if (includes_frames(info_.gradient_of) && input.frames_BF3HW.defined())
    gradients["frames"] = layout.place(input.frames_BF3HW.sizes());
  if (includes_latents(info_.gradient_of) && input.latents_BCFHW.defined())
    gradients["latents"] = layout.place(input.latents_BCFHW.sizes());
  memory_.grow(layout.bytes());
  write(tensors, places);
  for (const auto& [name, place] : gradients.items())
    tensor_at(memory_, place).fill_(std::numeric_limits<float>::quiet_NaN());
  ScoreGradient result;
  const auto wrong = call("gradient",
                          {{"op", "gradient"},
                           {"memory", memory_.size()},
                           {"input", to_json(input)},
                           {"tensors", places},
                           {"gradients", gradients}},
                          [&](const Json& reply) { result.failures = failures_of(reply, input.batch()); });
  if (!wrong.empty()) result.failures = {{"its gradient failed: " + wrong, input.batch()}};
  for (const auto& [name, place] : gradients.items()) {
    const auto gradient = tensor_at(memory_, place);
    (name == "frames" ? result.frames_BF3HW : result.latents_BCFHW) =
        wrong.empty() ? gradient.clone() : nan_filled(gradient.sizes());
  }
  return result;
}

RewardInfo hosted_reward_info(const HostedTask& task, const HostLimits& limits, const std::string& place) {
  SharedMemory memory;
  ChildProcess child(task.command, memory, limits.memory_gib * kGiB);
  try {
    auto message = task.open;
    message["op"] = "inspect";
    child.wire().send(message);
    const auto answer = next_answer(child.wire(), limits.call_s, task.name, {});
    if (!answer)
      throw Error(place, task.name + " did not say what it is within " + in_seconds(limits.call_s));
    refuse_error(*answer);
    return info_of(*answer);
  } catch (const WireBroken&) {
    throw Error(place, task.name + ": its process " + child.end() + " before it said what it is");
  } catch (const Json::exception&) {
    throw Error(place, task.name + ": its process does not say what it is");
  }
}

}  // namespace thalweg
