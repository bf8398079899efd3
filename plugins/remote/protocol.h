// What a server is asked, and how its answers are read. The scorer around it knows no server.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache.h"
#include "client.h"
#include "engine/core/json.h"
#include "options.h"
#include "pictures.h"

namespace remote {

struct Sample {
  std::string prompt, metadata;  // metadata: a JSON object
  uint64_t seed = 0, sample_id = 0;
  int64_t group_id = -1;
  Pictures frames;
  std::optional<Pictures> reference;
  double fps = 0;
  int step_index = -1;
};

/// One sample as it is asked about; a pair with its reference may be asked in both orders.
struct Question {
  const Sample* sample = nullptr;
  bool swapped = false;
};
using Questions = std::vector<Question>;

class Protocol {
 public:
  Protocol() = default;
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;
  virtual ~Protocol() = default;

  /// Speaks to the server before the first call. Throws thalweg::Error, or std::runtime_error where the
  /// server is away.
  virtual void start(Client&, double /*deadline*/) {}

  virtual std::vector<std::string> dimensions() const = 0;
  virtual size_t questions_per_request() const { return 1; }
  /// Whether a sample is asked about in both orders.
  virtual bool swaps() const { return false; }

  /// Why this sample cannot be asked about; "" where it can.
  virtual std::string unfit(const Sample&) const { return ""; }
  /// All that the answer depends on, as text; the same text, the same answer.
  virtual std::string key(const Question& question) const = 0;

  virtual HttpRequest request(const Questions& questions) const = 0;
  /// One answer a question. Throws Unreadable.
  virtual std::vector<Answer> read(const HttpReply& reply, const Questions& questions) const = 0;
  virtual Spending most(const Questions&) const { return {1, 0, 0}; }
  virtual Spending used(const HttpReply&, const Spending& most) const { return most; }

  /// The scores of a sample from those of its questions.
  virtual std::vector<double> combined(const std::vector<Answer>& answers) const {
    return answers.front().scores_K;
  }

  virtual bool has_gradient() const { return false; }
  /// `cotangent` [B,K].
  virtual HttpRequest gradient_request(const Questions&, const std::vector<float>& /*cotangent*/) const {
    return {};
  }
  /// One gradient [F,3,H,W] a question. Throws Unreadable.
  virtual std::vector<std::vector<float>> read_gradient(const HttpReply&, const Questions&) const {
    return {};
  }
};

/// thalweg-reward/1: see README.md.
std::unique_ptr<Protocol> reward_protocol(const RewardProtocolOptions& options);
/// OpenAI-compatible chat completions. Reads the template files; throws thalweg::Error.
std::unique_ptr<Protocol> chat_protocol(const ChatOptions& options);
/// Flow-Factory's reward server: GET /health, POST /compute.
std::unique_ptr<Protocol> flow_factory_protocol(const FlowFactoryOptions& options);

/// A list from JSON: a finite number, or NaN for null. Throws Unreadable.
double score_of(const thalweg::Json& value);

/// Parses a reply's body. Throws Unreadable.
thalweg::Json json_of(const HttpReply& reply);

}  // namespace remote
