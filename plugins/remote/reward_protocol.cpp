// thalweg-reward/1, the client's side.
#include <cmath>
#include <cstring>
#include <mutex>

#include "engine/core/error.h"
#include "engine/core/sha256.h"
#include "multipart.h"
#include "protocol.h"
#include "reward_description.h"

namespace remote {
namespace {

using thalweg::Error;
using thalweg::Json;

class RewardProtocol final : public Protocol {
 public:
  explicit RewardProtocol(const RewardProtocolOptions& options) : options_(options) {}

  void start(Client& client, double deadline) override {
    Json json;
    const Exchange ask{
        .request =
            [] {
              return HttpRequest{
                  .method = "GET", .path = "/v1/reward", .headers = {}, .json = {}, .parts = {}};
            },
        .read = [&](const HttpReply& reply) { json = json_of(reply); }};
    const auto failure = client.run({ask}, deadline).front();
    if (!failure.empty()) throw std::runtime_error("GET /v1/reward: " + failure);
    server_ = description_of(json, options_);
  }

  std::vector<std::string> dimensions() const override { return server_.dimensions; }
  size_t questions_per_request() const override { return server_.max_batch; }
  bool has_gradient() const override { return server_.gradient; }

  std::string unfit(const Sample& sample) const override {
    return server_.reference && !sample.reference
               ? "the server asks for a reference picture, which there is none of"
               : "";
  }

  std::string key(const Question& q) const override {
    const auto& s = *q.sample;
    Json key = {"thalweg-reward/1",     server_.id,      server_.version,
                server_.weights_sha256, options_.format, s.prompt,
                sha(s.frames),          s.fps,           s.step_index};
    key.push_back(server_.metadata ? s.metadata : "");
    key.push_back(server_.reference ? sha(*s.reference) : "");
    if (server_.nondeterministic) key.push_back({s.seed, s.sample_id, s.group_id});
    return key.dump();
  }

  HttpRequest request(const Questions& questions) const override {
    return multipart("/v1/reward/score", questions, {});
  }
  HttpRequest gradient_request(const Questions& questions,
                               const std::vector<float>& cotangent) const override {
    return multipart("/v1/reward/vjp", questions, cotangent);
  }

  std::vector<Answer> read(const HttpReply& reply, const Questions& questions) const override {
    const auto json = json_of(reply);
    check_reply(json, questions);
    if (!json.contains("values") || !json.at("values").is_array() ||
        json.at("values").size() != questions.size())
      throw Unreadable("the answer has not one row of \"values\" a sample");
    std::vector<Answer> answers;
    for (const auto& row : json.at("values")) {
      if (!row.is_array() || row.size() != server_.dimensions.size())
        throw Unreadable("a row of \"values\" has not one score a dimension");
      answers.emplace_back();
      for (const auto& value : row) answers.back().scores_K.push_back(score_of(value));
    }
    return answers;
  }

  std::vector<std::vector<float>> read_gradient(const HttpReply& reply,
                                                const Questions& questions) const override {
    try {
      const auto parts = read_multipart(reply.content_type, reply.body);
      std::vector<std::vector<float>> gradients;
      for (size_t i = 0; i < questions.size(); ++i) {
        const auto found = parts.find("g" + std::to_string(i));
        auto& gradient = gradients.emplace_back(static_cast<size_t>(questions[i].sample->frames.size()));
        if (found == parts.end() || found->second.size() != gradient.size() * sizeof(float))
          throw Unreadable("the answer has no part \"g" + std::to_string(i) + "\" of the size of the frames");
        std::memcpy(gradient.data(), found->second.data(), found->second.size());
      }
      return gradients;
    } catch (const Unreadable&) {
      throw;
    } catch (const std::runtime_error& e) {
      throw Unreadable(e.what());
    }
  }

 private:
  std::string sha(const Pictures& p) const {
    return options_.format == "raw" ? raw_sha256(p) : levels_sha256(p, all_frames(p.F));
  }

  /// The same for the same question, so that a server may know one that is sent again.
  std::string request_id(const Questions& questions) const {
    thalweg::Sha256 hash;
    for (const auto& q : questions) hash.update(key(q));
    return hash.hex().substr(0, 32);
  }

  void add_pictures(const Pictures& p, const std::string& name, Json& list, std::vector<Part>& parts) const {
    Json entry = {{"part", name}, {"shape", {p.F, 3, p.H, p.W}}, {"layout", options_.format}};
    if (options_.format == "raw") {
      entry["dtype"] = "float32";
      parts.push_back({name, "application/octet-stream", raw_of(p)});
    } else {
      entry["dtype"] = "uint8";
      for (int64_t f = 0; f < p.F; ++f)
        parts.push_back({p.F == 1 ? name : name + "." + std::to_string(f), "image/png", png_of(p, f)});
    }
    list.push_back(entry);
  }

  HttpRequest multipart(const char* path, const Questions& questions,
                        const std::vector<float>& cotangent) const {
    HttpRequest request{
        .path = path, .headers = {}, .json = {}, .parts = {{"request", "application/json", ""}}};
    const auto& first = *questions.front().sample;
    Json json = {{"request_id", request_id(questions)}};
    for (const auto* list : {"prompts", "sample_ids", "seeds", "group_ids", "metadata", "frames"})
      json[list] = Json::array();
    if (server_.reference) json["references"] = Json::array();
    json["fps"] = first.fps;
    json["step_index"] = first.step_index;
    json["want"] = {"values"};
    for (size_t i = 0; i < questions.size(); ++i) {
      const auto& s = *questions[i].sample;
      json["prompts"].push_back(s.prompt);
      json["sample_ids"].push_back(s.sample_id);
      json["seeds"].push_back(s.seed);
      json["group_ids"].push_back(s.group_id);
      json["metadata"].push_back(server_.metadata ? thalweg::parse_json(s.metadata, "") : Json::object());
      add_pictures(s.frames, "f" + std::to_string(i), json["frames"], request.parts);
      if (server_.reference)
        add_pictures(*s.reference, "r" + std::to_string(i), json["references"], request.parts);
    }
    if (!cotangent.empty())
      request.parts.push_back(
          {"cotangent",
           "application/octet-stream",
           {reinterpret_cast<const char*>(cotangent.data()), cotangent.size() * sizeof(float)}});
    request.parts.front().data = json.dump();
    request.headers.emplace_back("Idempotency-Key", json["request_id"].get<std::string>());
    return request;
  }

  void check_reply(const Json& json, const Questions& questions) const {
    if (!json.is_object() || !json.contains("request_id") || json.at("request_id") != request_id(questions))
      throw Unreadable("the answer is not to this request (\"request_id\")");
    if (!json.contains("model") || !json.at("model").is_string()) return;
    const auto model = json.at("model").get<std::string>();
    const std::lock_guard lock(mutex_);
    if (model_.empty()) model_ = model;
    if (model != model_)
      throw Unreadable("the server has become another: \"" + model_ + "\" was its model, now \"" + model +
                       "\"");
  }

  RewardProtocolOptions options_;
  RewardDescription server_;
  mutable std::mutex mutex_;
  mutable std::string model_;  // of the first answer
};

}  // namespace

double score_of(const Json& value) {
  if (value.is_null()) return std::nan("");
  if (!value.is_number()) throw Unreadable("a score is no number");
  const double score = value.get<double>();
  if (!std::isfinite(static_cast<float>(score))) throw Unreadable("a score is not finite");
  return score;
}

Json json_of(const HttpReply& reply) {
  try {
    return thalweg::parse_json(reply.body, "");
  } catch (const Error& e) {
    throw Unreadable(std::string("the answer is no JSON: ") + e.what());
  }
}

std::unique_ptr<Protocol> reward_protocol(const RewardProtocolOptions& options) {
  return std::make_unique<RewardProtocol>(options);
}

}  // namespace remote
