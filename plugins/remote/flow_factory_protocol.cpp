// Flow-Factory's reward server, the client's side: GET /health, POST /compute with JSON.
#include <stdexcept>

#include "engine/core/base64.h"
#include "protocol.h"

namespace remote {
namespace {

using thalweg::Json;

/// One PNG file, or a list of them for a video.
Json encoded(const Pictures& p) {
  if (p.F == 1) return thalweg::encode_base64(png_of(p, 0));
  Json frames = Json::array();
  for (int64_t f = 0; f < p.F; ++f) frames.push_back(thalweg::encode_base64(png_of(p, f)));
  return frames;
}

class FlowFactoryProtocol final : public Protocol {
 public:
  explicit FlowFactoryProtocol(const FlowFactoryOptions& options) : options_(options) {}

  void start(Client& client, double deadline) override {
    const Exchange ask{.request =
                           [] {
                             return HttpRequest{
                                 .method = "GET", .path = "/health", .headers = {}, .json = {}, .parts = {}};
                           },
                       .read =
                           [](const HttpReply& reply) {
                             const auto json = json_of(reply);
                             if (!json.is_object() || !json.contains("status"))
                               throw Unreadable("the answer to GET /health has no \"status\"");
                           }};
    const auto failure = client.run({ask}, deadline).front();
    if (!failure.empty()) throw std::runtime_error("GET /health: " + failure);
  }

  std::vector<std::string> dimensions() const override { return {"score"}; }
  size_t questions_per_request() const override { return static_cast<size_t>(options_.batch); }

  std::string key(const Question& q) const override {
    const auto& s = *q.sample;
    Json key = {"flow_factory", s.prompt, levels_sha256(s.frames, all_frames(s.frames.F))};
    key.push_back(s.reference ? levels_sha256(*s.reference, all_frames(s.reference->F)) : "");
    return key.dump();
  }

  HttpRequest request(const Questions& questions) const override {
    const auto& first = *questions.front().sample;
    Json prompts = Json::array(), frames = Json::array(), references = Json::array();
    for (const auto& q : questions) {
      prompts.push_back(q.sample->prompt);
      frames.push_back(encoded(q.sample->frames));
      if (q.sample->reference) references.push_back(Json::array({encoded(*q.sample->reference)}));
    }
    const bool video = first.frames.F > 1, video_reference = first.reference && first.reference->F > 1;
    Json body = {{"prompt", prompts}};
    body["image"] = video ? Json(nullptr) : frames;
    body["video"] = video ? frames : Json(nullptr);
    body["condition_images"] = first.reference && !video_reference ? references : Json(nullptr);
    body["condition_videos"] = video_reference ? references : Json(nullptr);
    return {.path = "/compute", .headers = {}, .json = body.dump(), .parts = {}};
  }

  std::vector<Answer> read(const HttpReply& reply, const Questions& questions) const override {
    const auto json = json_of(reply);
    if (!json.is_object() || !json.contains("rewards") || !json.at("rewards").is_array() ||
        json.at("rewards").size() != questions.size())
      throw Unreadable("the answer has not one of \"rewards\" a sample");
    std::vector<Answer> answers;
    for (const auto& value : json.at("rewards")) answers.push_back({{score_of(value)}, ""});
    return answers;
  }

 private:
  FlowFactoryOptions options_;
};

}  // namespace

std::unique_ptr<Protocol> flow_factory_protocol(const FlowFactoryOptions& options) {
  return std::make_unique<FlowFactoryProtocol>(options);
}

}  // namespace remote
