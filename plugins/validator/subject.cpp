#include "plugins/validator/subject.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "rewards/plugin_host.h"
#include "rewards/text.h"

namespace thalweg::validator {
namespace {

constexpr int64_t kFramesOfVideo = 4;

}  // namespace

Subject::Subject(std::filesystem::path f, const Options& o) : file(std::move(f)), options(o) {}

void* Subject::handle() {
  if (handle_ == nullptr)
    handle_ = guarded("loading", [&] { return ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL); });
  if (handle_ == nullptr) throw Breach(clean_text(::dlerror()));
  return handle_;
}

const thalweg_plugin_entry& Subject::entry() {
  if (entry_ == nullptr)
    entry_ = static_cast<const thalweg_plugin_entry*>(::dlsym(handle(), THALWEG_ENTRY_SYMBOL));
  require(entry_ != nullptr, "the library has no symbol " THALWEG_ENTRY_SYMBOL);
  return *entry_;
}

void Subject::start() {
  if (started_) return;
  const auto status = guarded("entry.init", [&] { return entry().init(file.c_str()); });
  require(status == THALWEG_OK, "entry.init returned " + status_name(status));
  started_ = true;
}

const thalweg_reward_factory& Subject::factory() {
  start();
  if (factory_ == nullptr)
    factory_ = static_cast<const thalweg_reward_factory*>(
        guarded("get_factory", [&] { return entry().get_factory(THALWEG_REWARD_FACTORY_ID); }));
  require(factory_ != nullptr, "get_factory gives nothing for " THALWEG_REWARD_FACTORY_ID);
  return *factory_;
}

const thalweg_reward_descriptor& Subject::descriptor() {
  const uint32_t count = guarded("factory.count", [&] { return factory().count(&factory()); });
  for (uint32_t i = 0; i < count; ++i) {
    const auto* d = guarded("factory.descriptor", [&] { return factory().descriptor(&factory(), i); });
    if (d != nullptr && d->id != nullptr && reward_id == d->id) return *d;
  }
  throw Breach("the library lists no reward " + reward_id + " any more");
}

std::string Subject::judged(const char* name, thalweg_status status, const Host& host) {
  if (status == THALWEG_OK) return "";
  if (status > THALWEG_OK || status < THALWEG_INTERNAL)
    observations.add("errors.status", std::string(name) + " returned " + std::to_string(status));
  if (!host.explained())
    observations.add("errors.text", std::string(name) + " failed without a text through set_error");
  const auto text = host.text();
  return std::string(name) + " returned " + status_name(status) +
         (host.explained() && !text.empty() ? " (" + text + ")" : "");
}

bool Subject::has_feature(const char* feature) {
  for (auto f = descriptor().features; f != nullptr && *f != nullptr; ++f)
    if (std::strcmp(*f, feature) == 0) return true;
  return false;
}

uint64_t Subject::inputs() {
  return descriptor().required_inputs | descriptor().optional_inputs;
}

Shape Subject::shape() {
  const auto frames = has_feature("video") ? std::max(options.frames, kFramesOfVideo) : options.frames;
  return {frames,
          options.height,
          options.width,
          options.latent_channels,
          options.latent_height,
          options.latent_width};
}

}  // namespace thalweg::validator
