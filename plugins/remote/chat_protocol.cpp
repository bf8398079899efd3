// A judge behind OpenAI-compatible chat completions. Pictures are sent as data, never as addresses.
#include <algorithm>
#include <cmath>

#include "engine/core/base64.h"
#include "engine/core/error.h"
#include "engine/core/sha256.h"
#include "prompt_template.h"
#include "protocol.h"

namespace remote {
namespace {

using thalweg::Error;
using thalweg::Json;

constexpr size_t kMaxTemplate = 1 << 20;
constexpr int64_t kTokensAround = 64;  // of roles and the like

struct TemplateFile {
  std::string text;
  PromptTemplate question;
};

TemplateFile read_template(const std::string& file, const std::string& place) {
  std::string text;
  try {
    text = thalweg::read_file(file, kMaxTemplate);
  } catch (const Error& e) {
    throw Error(place, e.what());
  }
  PromptTemplate question(text, place);
  return {std::move(text), std::move(question)};
}

class ChatProtocol final : public Protocol {
 public:
  explicit ChatProtocol(const ChatOptions& options)
      : options_(options),
        judge_(make_judge(options.parse, "/parse")),
        user_(read_template(options.template_file, "/template")) {
    if (!options.system_file.empty()) system_ = read_template(options.system_file, "/system");
    check();
  }

  std::vector<std::string> dimensions() const override { return judge_->dimensions(); }
  bool swaps() const override { return swaps_; }

  std::string unfit(const Sample& sample) const override {
    return user_.question.has(Piece::Kind::reference) && !sample.reference
               ? "the template asks for a reference picture, which there is none of"
               : "";
  }

  std::string key(const Question& q) const override {
    const auto& s = *q.sample;
    auto parameters = parameters_of(s);
    Json key = {"chat",
                thalweg::sha256_hex(system_.text),
                thalweg::sha256_hex(user_.text),
                options_.criteria,
                parameters,
                options_.parse.name,
                judge_identity_,
                s.prompt};
    key.push_back(levels_sha256(s.frames, spread_frames(s.frames.F, options_.frames)));
    if (uses_reference())
      key.push_back(levels_sha256(*s.reference, spread_frames(s.reference->F, options_.frames)));
    key.push_back(q.swapped);
    key.push_back(options_.detail);
    // Sampling has its own answer for each sample's seed, whether that is sent or not.
    if (options_.temperature > 0) key.push_back(s.seed);
    return key.dump();
  }

  HttpRequest request(const Questions& questions) const override {
    const auto& q = questions.front();
    Json body = parameters_of(*q.sample);
    Json messages = Json::array();
    if (!options_.system_file.empty())
      messages.push_back({{"role", "system"}, {"content", system_text(*q.sample)}});
    messages.push_back({{"role", "user"}, {"content", content_of(q)}});
    body["messages"] = messages;
    return {.path = "/chat/completions", .headers = {}, .json = body.dump(), .parts = {}};
  }

  std::vector<Answer> read(const HttpReply& reply, const Questions&) const override {
    const auto completion = read_completion(reply.body);
    return {{judge_->read(completion), completion.content}};
  }

  Spending most(const Questions& questions) const override {
    const auto& s = *questions.front().sample;
    // A token has a byte at least. Of the parameters some become tokens (a schema, tools of "extra_body").
    int64_t input = kTokensAround + static_cast<int64_t>(parameters_of(s).dump().size());
    for (const auto* file : {&system_, &user_})
      for (const auto& piece : file->question.filled(s.prompt, options_.criteria)) {
        if (piece.kind == Piece::Kind::text) input += static_cast<int64_t>(piece.text.size());
        if (piece.kind == Piece::Kind::image) input += pictures_tokens(s.frames);
        if (piece.kind == Piece::Kind::reference) input += pictures_tokens(*s.reference);
      }
    return spending(input, options_.max_completion_tokens);
  }

  Spending used(const HttpReply& reply, const Spending& most) const override {
    try {
      const auto completion = read_completion(reply.body);
      if (!completion.input_tokens || !completion.output_tokens) return most;
      return spending(*completion.input_tokens, *completion.output_tokens);
    } catch (const Unreadable&) {
      return most;
    }
  }

  /// P(picture better) from both orders: the position of a picture has no say.
  std::vector<double> combined(const std::vector<Answer>& answers) const override {
    if (answers.size() == 1) return answers.front().scores_K;
    return {(answers[0].scores_K[0] + 1.0 - answers[1].scores_K[0]) / 2};
  }

 private:
  void check() {
    if (!user_.question.has(Piece::Kind::image))
      throw Error("/template", "has no {image:0}: the judge would see no picture");
    for (const auto kind : {Piece::Kind::image, Piece::Kind::reference})
      if (system_.question.has(kind))
        throw Error("/system", "has a slot for a picture, which belongs into \"template\"");
    const bool criteria =
        system_.question.has(Piece::Kind::criteria) || user_.question.has(Piece::Kind::criteria);
    if (criteria == options_.criteria.empty())
      throw Error("/criteria", criteria ? "is missing: the template has its slot"
                                        : "is read by nothing: no template has {criteria}");
    const bool pair = uses_reference() && options_.parse.name == "p_yes";
    if (options_.both_orders_said && !pair)
      throw Error("/both_orders", "is for \"p_yes\" with a template that has {reference:0}");
    swaps_ = pair && options_.both_orders;
    const auto ours = {"model",           "messages", "temperature",  "max_completion_tokens",
                       "max_tokens",      "logprobs", "top_logprobs", "seed",
                       "response_format", "n",        "stream"};
    for (const auto& [key, value] : options_.extra_body.items())
      if (std::find(ours.begin(), ours.end(), key) != ours.end())
        throw Error("/extra_body/" + key, "is set by the protocol");
    thalweg::Json identity = thalweg::write_fields([&](thalweg::Fields& f) { describe(f, options_.parse); });
    judge_identity_ = identity.dump();
  }

  bool uses_reference() const { return user_.question.has(Piece::Kind::reference); }

  Json parameters_of(const Sample& s) const {
    Json p = {{"model", options_.model}, {"temperature", options_.temperature}};
    p[options_.token_limit_field] = options_.max_completion_tokens;
    if (judge_->wants_logprobs()) {
      p["logprobs"] = true;
      p["top_logprobs"] = options_.top_logprobs;
    }
    if (auto format = judge_->response_format(); !format.is_null()) p["response_format"] = std::move(format);
    if (options_.send_seed) p["seed"] = s.seed & 0x7fffffff;
    for (const auto& [key, value] : options_.extra_body.items()) p[key] = value;
    return p;
  }

  std::string system_text(const Sample& s) const {
    std::string text;
    for (const auto& piece : system_.question.filled(s.prompt, options_.criteria)) text += piece.text;
    return text;
  }

  Json content_of(const Question& q) const {
    const auto& s = *q.sample;
    Json content = Json::array();
    for (const auto& piece : user_.question.filled(s.prompt, options_.criteria)) {
      if (piece.kind == Piece::Kind::text) {
        content.push_back({{"type", "text"}, {"text", piece.text}});
        continue;
      }
      const bool candidate = (piece.kind == Piece::Kind::image) != q.swapped;
      const auto& pictures = candidate ? s.frames : *s.reference;
      for (const auto f : spread_frames(pictures.F, options_.frames)) {
        Json image = {{"url", "data:image/png;base64," + thalweg::encode_base64(png_of(pictures, f))}};
        if (!options_.detail.empty()) image["detail"] = options_.detail;
        content.push_back({{"type", "image_url"}, {"image_url", image}});
      }
    }
    return content;
  }

  int64_t pictures_tokens(const Pictures& p) const {
    return std::min(p.F, options_.frames) * options_.tokens_per_picture;
  }

  Spending spending(int64_t input, int64_t output) const {
    return {1, input + output,
            (static_cast<double>(input) * options_.input_price +
             static_cast<double>(output) * options_.output_price) /
                1e6};
  }

  ChatOptions options_;
  std::unique_ptr<Judge> judge_;
  TemplateFile system_, user_;
  std::string judge_identity_;
  bool swaps_ = false;
};

}  // namespace

std::unique_ptr<Protocol> chat_protocol(const ChatOptions& options) {
  return std::make_unique<ChatProtocol>(options);
}

}  // namespace remote
