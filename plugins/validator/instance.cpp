#include "plugins/validator/instance.h"

#include <algorithm>
#include <utility>

#include "plugins/validator/compare.h"
#include "rewards/text.h"

namespace thalweg::validator {

Instance::Instance(Subject& subject) : subject_(subject), host_(subject.observations) {
  const auto& factory = subject.factory();
  reward_ = subject.guarded(
      "create", [&] { return factory.create(&factory, host_.table(), subject.reward_id.c_str()); });
  require(reward_ != nullptr, "create made no instance: " + host_.text());
  const auto& r = *reward_;
  require(r.init != nullptr && r.destroy != nullptr && r.activate != nullptr && r.deactivate != nullptr &&
              r.dimension_count != nullptr && r.dimension_name != nullptr && r.score != nullptr &&
              r.get_extension != nullptr,
          "the instance has functions that are NULL");
  host_.clear();
  host_.initialised = true;
  const auto status = subject.guarded("init", [&] { return reward_->init(reward_); });
  if (const auto wrong = subject.judged("init", status, host_); !wrong.empty()) {
    reward_->destroy(reward_);
    throw Breach(wrong);
  }
}

Instance::~Instance() {
  try {
    deactivate();
    subject_.guarded("destroy", [&] {
      reward_->destroy(reward_);
      return 0;
    });
  } catch (const Breach& breach) {
    subject_.observations.add("life.destroy", breach.what());
  }
}

std::string Instance::try_activate(const std::string& config, uint32_t size) {
  const auto& o = subject_.options;
  thalweg_activation a{};
  a.size = size;
  a.max_batch = static_cast<uint32_t>(2 * o.batch);
  a.max_frames = static_cast<uint32_t>(subject_.shape().frames);
  a.max_height = static_cast<uint32_t>(o.height);
  a.max_width = static_cast<uint32_t>(o.width);
  a.device = {THALWEG_DEVICE_TYPE_CPU, 0};
  a.seed = 5;
  a.config_json = config.c_str();
  a.assets_dir = "";
  host_.clear();
  const AtPageEnd cut(&a, size);
  const auto* lent = static_cast<const thalweg_activation*>(cut.data());
  const auto status = subject_.guarded("activate", [&] { return reward_->activate(reward_, lent); });
  active_ = status == THALWEG_OK;
  return subject_.judged("activate", status, host_);
}

Instance& Instance::activate() {
  if ((subject_.descriptor().devices & THALWEG_ON_CPU) == 0)
    throw Skip("the reward takes tensors on CUDA alone");
  const auto wrong = try_activate(subject_.options.config);
  require(wrong.empty(), wrong);
  return *this;
}

void Instance::deactivate() {
  if (!std::exchange(active_, false)) return;
  dimensions_.clear();
  subject_.guarded("deactivate", [&] {
    reward_->deactivate(reward_);
    return 0;
  });
}

const std::vector<std::string>& Instance::dimensions() {
  if (dimensions_.empty()) dimensions_ = read_dimensions();
  return dimensions_;
}

std::vector<std::string> Instance::read_dimensions() {
  std::vector<std::string> names;
  const uint32_t count =
      subject_.guarded("dimension_count", [&] { return reward_->dimension_count(reward_); });
  require(count > 0 && count <= 65536, "dimension_count is " + std::to_string(count));
  for (uint32_t k = 0; k < count; ++k) {
    const char* name =
        subject_.guarded("dimension_name", [&] { return reward_->dimension_name(reward_, k); });
    require(name != nullptr && *name != '\0' && is_clean_text(name),
            "the name of dimension " + std::to_string(k) + " is NULL, empty or not clean UTF-8");
    names.emplace_back(name);
  }
  return names;
}

std::string Instance::try_score(const thalweg_score_request* request, const Guarded& values) {
  host_.clear();
  host_.batch = request->batch;
  const auto status =
      subject_.guarded("score", [&] { return reward_->score(reward_, request, values.view()); });
  host_.batch = 0;
  return subject_.judged("score", status, host_);
}

std::vector<float> Instance::score(Samples& samples) {
  const Guarded values({samples.batch(), static_cast<int64_t>(dimensions().size())});
  const auto wrong = try_score(samples.request(), values);
  require(wrong.empty(), wrong);
  return values.values();
}

const thalweg_plugin_gradient* Instance::gradient() {
  return static_cast<const thalweg_plugin_gradient*>(subject_.guarded(
      "get_extension", [&] { return reward_->get_extension(reward_, THALWEG_EXT_GRADIENT); }));
}

const thalweg_plugin_group* Instance::group() {
  return static_cast<const thalweg_plugin_group*>(
      subject_.guarded("get_extension", [&] { return reward_->get_extension(reward_, THALWEG_EXT_GROUP); }));
}

std::vector<float> Instance::vjp(Samples& samples, uint64_t input, const std::vector<float>& cotangent_BK) {
  Tensor lent({samples.batch(), static_cast<int64_t>(dimensions().size())});
  std::copy(cotangent_BK.begin(), cotangent_BK.end(), lent.data.begin());
  const Guarded out(samples.input(input).shape());
  const auto* table = gradient();
  host_.clear();
  const auto status = subject_.guarded(
      "vjp", [&] { return table->vjp(reward_, samples.request(), input, lent.view(), out.view()); });
  const auto wrong = subject_.judged("vjp", status, host_);
  require(wrong.empty(), wrong);
  require(out.intact(), "vjp wrote outside of the gradient");
  require(std::equal(cotangent_BK.begin(), cotangent_BK.end(), lent.data.begin()),
          "vjp changed the cotangent");
  return out.values();
}

}  // namespace thalweg::validator
