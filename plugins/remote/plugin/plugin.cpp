// Rewards behind a URL: see README.md.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "plugins/remote/scorer.h"
#include "thalweg/cpp/reward.hpp"

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Failure;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr size_t kMaxReason = 500;
constexpr const char* kFeatures[] = {THALWEG_FEATURE_REMOTE, nullptr};

std::unique_ptr<remote::Protocol> make_protocol(const remote::Options& options) {
  if (options.protocol == "chat") return remote::chat_protocol(options.chat);
  if (options.protocol == "flow_factory") return remote::flow_factory_protocol(options.flow_factory);
  return remote::reward_protocol(options.reward);
}

/// What is counted and remembered together: a server, and the model behind it where it has several.
std::string judge_of(const remote::Options& options, const remote::Url& url) {
  return options.protocol + " " + url.text() + (options.protocol == "chat" ? " " + options.chat.model : "");
}

/// All parts of an active instance, in the order in which they need each other.
struct Server {
  Server(const remote::Options& options, const remote::Url& url,
         std::function<void(const std::string&)> debug, std::function<void(const std::string&)> warn)
      : protocol(make_protocol(options)),
        transport(url, remote::AddressRules(url, options.allow_hosts),
                  remote::Secret(options.api_key_env, options.api_key_file), options.http),
        store(options.cache_file),
        cache(store, options.cache_mib << 20),
        budget(store, judge_of(options, url), options.caps),
        client(options.client, transport, budget, clock, std::move(debug)),
        scorer(*protocol, client, cache, judge_of(options, url), std::move(warn)) {
    protocol->start(client, clock.now() + options.batch_s);
  }

  std::unique_ptr<remote::Protocol> protocol;
  remote::SystemClock clock;
  remote::CurlTransport transport;
  remote::Store store;
  remote::Cache cache;
  remote::Budget budget;
  remote::Client client;
  remote::Scorer scorer;
};

remote::Url url_of(const std::string& text) {
  try {
    return remote::parse_url(text);
  } catch (const thalweg::Error& e) {
    throw thalweg::Error("/url", e.message());
  }
}

class RemoteReward final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward("org.thalweg.remote", "Remote", "Thalweg", "0.1.0",
                                              "Rewards behind a URL. Configuration: {\"protocol\": "
                                              "\"thalweg-reward/1\" | \"chat\" | \"flow_factory\", "
                                              "\"url\": ..., ...}: see plugins/remote/README.md.");
    d.features = kFeatures;
    d.optional_inputs = THALWEG_INPUT_PROMPTS | THALWEG_INPUT_REFERENCE | THALWEG_INPUT_METADATA;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    try {
      const auto options = remote::read_options(config_json);
      batch_s_ = options.batch_s;
      server_ = std::make_unique<Server>(
          options, url_of(options.url),
          [this](const std::string& line) { log(THALWEG_LOG_DEBUG, shown(line)); },
          [this](const std::string& line) { log(THALWEG_LOG_WARNING, shown(line)); });
    } catch (const thalweg::Error& e) {
      throw std::invalid_argument(e.what());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& e) {
      throw Failure(THALWEG_UNAVAILABLE, shown(e.what()));
    }
  }

  std::vector<std::string> dimensions() const override { return server_->protocol->dimensions(); }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto samples = samples_of(request);
    const auto scored = server_->scorer.score(samples, server_->clock.now() + batch_s_);
    std::vector<std::string> failures;
    for (const auto& sample : scored) failures.push_back(sample.failure);
    fail_where_all_did(failures);
    for (size_t b = 0; b < scored.size(); ++b) {
      const auto row = static_cast<std::int64_t>(b);
      const auto& scores_K = scored[b].scores_K;
      for (size_t k = 0; k < scores_K.size(); ++k)
        values_BK(row, static_cast<std::int64_t>(k)) = static_cast<float>(scores_K[k]);
      if (!scored[b].failure.empty())
        not_scored(row, shown(scored[b].failure));
      else if (std::any_of(scores_K.begin(), scores_K.end(), [](double score) { return std::isnan(score); }))
        not_scored(row, "the server says that it has no score for it");
    }
  }

  std::uint64_t gradient_inputs() const override {
    return server_->protocol->has_gradient() ? THALWEG_INPUT_FRAMES : 0;
  }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto samples = samples_of(request);
    const std::vector<float> cotangent(cotangent_BK.data, cotangent_BK.data + cotangent_BK.size());
    const auto found = server_->scorer.gradient(samples, cotangent, server_->clock.now() + batch_s_);
    std::vector<std::string> failures;
    for (size_t b = 0; b < found.size(); ++b) {
      failures.push_back(found[b].failure);
      std::copy(found[b].values.begin(), found[b].values.end(), &gradient(static_cast<std::int64_t>(b)));
    }
    fail_where_all_did(failures);
    // The interface has notes for scores alone.
    for (const auto& failure : std::set<std::string>(failures.begin(), failures.end()))
      if (!failure.empty()) log(THALWEG_LOG_WARNING, "no gradient: " + shown(failure));
  }

 private:
  static std::string shown(const std::string& text) { return thalweg::printable(text, kMaxReason); }

  /// The reason is the call's where it is that of every sample.
  static void fail_where_all_did(const std::vector<std::string>& failures) {
    if (failures.empty() || failures.front().empty()) return;
    if (std::all_of(failures.begin(), failures.end(), [&](const auto& f) { return f == failures.front(); }))
      throw Failure(THALWEG_UNAVAILABLE, shown(failures.front()));
  }

  static remote::Pictures pictures(const View<const float, 5>& frames, std::int64_t b, const char* what) {
    if (frames.shape[2] != 3 || frames.size() == 0)
      throw std::invalid_argument(std::string(what) +
                                  " must be [batch, frames, 3, height, width] and hold pixels");
    return {&frames(b), frames.shape[1], frames.shape[3], frames.shape[4]};
  }

  static std::vector<remote::Sample> samples_of(const Request& request) {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch()) throw std::invalid_argument("frames are not of the batch");
    std::vector<remote::Sample> samples(static_cast<size_t>(request.batch()));
    for (std::int64_t b = 0; b < request.batch(); ++b) {
      auto& sample = samples[static_cast<size_t>(b)];
      sample.prompt = request.prompt(b);
      sample.metadata = request.metadata_json(b);
      sample.seed = request.seed(b);
      sample.sample_id = request.sample_id(b);
      sample.group_id = request.group_id(b);
      sample.fps = request.fps();
      sample.step_index = request.step_index();
      sample.frames = pictures(frames, b, "frames");
      if (request.has_reference()) sample.reference = pictures(request.reference_BF3HW(), b, "the reference");
    }
    return samples;
  }

  std::unique_ptr<Server> server_;
  double batch_s_ = 0;
};

}  // namespace

THALWEG_REWARD_PLUGIN(RemoteReward);
