// A reward in C++17: derive from Reward (or DifferentiableReward), write three functions, end the file with
// THALWEG_REWARD_PLUGIN(YourReward). Header only; needs the C headers beside it and nothing else.
//
//   class Brightness final : public thalweg::plugin::Reward {
//    public:
//     static thalweg_reward_descriptor describe();   // describe_reward(...) below fills the common parts
//     void configure(std::string_view json, const Activation& activation) override;
//     std::vector<std::string> dimensions() const override;
//     void score(const Request& request, View<float, 2> values_BK) override;
//   };
//
// Throw to fail: every exception is caught at the border and becomes a status and a text for the user.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "../ext/gradient.h"
#include "../ext/group.h"
#include "../ext/log.h"
#include "../ext/note.h"
#include "../reward.h"
#include "request.hpp"

namespace thalweg::plugin {

/// A failure with a status of its own. Of other exceptions, std::invalid_argument becomes
/// INVALID_ARGUMENT, std::bad_alloc OUT_OF_MEMORY, and the rest INTERNAL.
class Failure : public std::runtime_error {
 public:
  Failure(thalweg_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  thalweg_status status() const noexcept { return status_; }

 private:
  thalweg_status status_;
};

class Reward {
 public:
  Reward() = default;
  Reward(const Reward&) = delete;
  Reward& operator=(const Reward&) = delete;
  virtual ~Reward() = default;

  /// Reads the configuration (a JSON object) and loads weights; each activation has a fresh object. [main]
  virtual void configure(std::string_view config_json, const Activation& activation) = 0;

  /// Names of the K columns; asked once, after configure. [main]
  virtual std::vector<std::string> dimensions() const = 0;

  /// Writes values_BK, which holds NaN; an entry left so is "not scored". [scoring]
  virtual void score(const Request& request, View<float, 2> values_BK) = 0;

  /// A line for the program's log; lost when the host keeps none. [any]
  void log(thalweg_log_severity severity, const std::string& message) const {
    if (host_log_ != nullptr) host_log_->log(host_, severity, message.c_str());
  }

  /// Why sample `index` of the score that runs is left as it is; lost when the host does not ask. [scoring]
  void not_scored(int64_t index, const std::string& reason) const {
    if (host_note_ != nullptr) host_note_->not_scored(host_, static_cast<uint32_t>(index), reason.c_str());
  }

  /// Called by the glue before configure.
  void attach(const thalweg_host* host) {
    host_ = host;
    host_log_ = static_cast<const thalweg_host_log*>(host->get_extension(host, THALWEG_EXT_LOG));
    host_note_ = static_cast<const thalweg_host_note*>(host->get_extension(host, THALWEG_EXT_NOTE));
  }

 private:
  const thalweg_host* host_ = nullptr;
  const thalweg_host_log* host_log_ = nullptr;
  const thalweg_host_note* host_note_ = nullptr;
};

/// Mixed into a reward that compares the samples of a group: see ext/group.h.
class ComparesGroups {
 public:
  virtual ~ComparesGroups() = default;
  /// Fewest samples that it can compare, at least 2. Asked after configure. [main, scoring]
  virtual uint32_t least_of_group() const { return 2; }
};

class DifferentiableReward : public Reward {
 public:
  /// THALWEG_INPUT_FRAMES, THALWEG_INPUT_LATENTS or both. Asked after configure. [main, scoring]
  virtual uint64_t gradient_inputs() const = 0;

  /// Writes gradient (the shape of `input`, filled with NaN): sum over k of cotangent[b,k] times the
  /// derivative of values[b,k] by the input. [scoring]
  virtual void vjp(const Request& request, uint64_t input, View<const float, 2> cotangent_BK,
                   View<float, 5> gradient) = 0;
};

/// A descriptor for tensors on the CPU with the frames as the only input; change the other fields at will.
/// All strings must be literals or otherwise live as long as the library.
inline thalweg_reward_descriptor describe_reward(const char* id, const char* name, const char* vendor,
                                                 const char* version, const char* description) {
  thalweg_reward_descriptor d{};
  d.abi = THALWEG_ABI_VERSION_INIT;
  d.id = id;
  d.name = name;
  d.vendor = vendor;
  d.version = version;
  d.description = description;
  d.paper_url = "";
  d.required_inputs = THALWEG_INPUT_FRAMES;
  d.devices = THALWEG_ON_CPU;
  return d;
}

}  // namespace thalweg::plugin

#include "glue.hpp"
