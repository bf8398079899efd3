// One instance of the reward under test.
#pragma once

#include <thalweg/ext/gradient.h>
#include <thalweg/ext/group.h>

#include <string>
#include <vector>

#include "plugins/validator/subject.h"

namespace thalweg::validator {

/// An instance from create to destroy.
class Instance {
 public:
  explicit Instance(Subject& subject);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// "" when it worked, else what the plugin said.
  std::string try_activate(const std::string& config, uint32_t size = sizeof(thalweg_activation));
  /// Throws Breach when it does not work with the options' configuration.
  Instance& activate();
  void deactivate();
  const std::vector<std::string>& dimensions();
  /// Asked again.
  std::vector<std::string> read_dimensions();
  /// Status 0 or Breach; values [B,K].
  std::vector<float> score(Samples& samples);
  /// Into `values`, whatever the status; "" when OK.
  std::string try_score(const thalweg_score_request* request, const Guarded& values);
  const thalweg_plugin_gradient* gradient();
  /// Null: it compares no samples.
  const thalweg_plugin_group* group();
  /// In the shape of the input; Breach when the status is not 0.
  std::vector<float> vjp(Samples& samples, uint64_t input, const std::vector<float>& cotangent_BK);

  Host& host() { return host_; }
  const thalweg_reward& table() const { return *reward_; }

 private:
  Subject& subject_;
  Host host_;
  const thalweg_reward* reward_ = nullptr;
  bool active_ = false;
  std::vector<std::string> dimensions_;
};

}  // namespace thalweg::validator
