#include "scorer.h"

#include <map>
#include <span>
#include <utility>

#include "engine/core/sha256.h"
#include "engine/core/text.h"

namespace remote {
namespace {

std::string unfit(const Protocol& protocol, const Sample& sample) {
  if (!thalweg::is_valid_utf8(sample.prompt)) return "the prompt is no UTF-8 text";
  if (!sample.frames.is_finite() || (sample.reference && !sample.reference->is_finite()))
    return "a pixel is not a finite number";
  return protocol.unfit(sample);
}

Questions questions_of(auto span) {
  Questions questions;
  for (const auto* asked : span) questions.push_back(asked->question);
  return questions;
}

}  // namespace

Scorer::Scorer(Protocol& protocol, Client& client, Cache& cache, std::string judge,
               std::function<void(const std::string&)> warn)
    : protocol_(protocol), client_(client), cache_(cache), judge_(std::move(judge)), warn_(std::move(warn)) {}

void Scorer::look_up(Asked& asked) {
  asked.key = thalweg::sha256_hex(judge_ + "\n" + protocol_.key(asked.question));
  try {
    asked.answer = cache_.get(asked.key, protocol_.dimensions().size());
  } catch (const StoreError& e) {
    warn_(std::string("the cache cannot be read: ") + e.what());
  }
}

void Scorer::keep(Asked& asked, Answer answer) {
  asked.answer = std::move(answer);
  try {
    cache_.put(asked.key, *asked.answer);
    // Another process may have been first: what both see from now on is one answer.
    if (auto kept = cache_.get(asked.key, asked.answer->scores_K.size())) asked.answer = std::move(kept);
  } catch (const StoreError& e) {
    warn_(std::string("the cache cannot be written: ") + e.what());
  }
}

void Scorer::ask(std::vector<Asked>& all, double deadline) {
  std::vector<Asked*> open;
  std::map<std::string, Asked*> first;
  for (auto& asked : all)
    if (!asked.answer && first.emplace(asked.key, &asked).second) open.push_back(&asked);

  const size_t most = protocol_.questions_per_request();
  std::vector<Exchange> exchanges;
  std::vector<std::span<Asked*>> parts;
  for (size_t begin = 0; begin < open.size(); begin += most) {
    const auto part = std::span(open).subspan(begin, std::min(most, open.size() - begin));
    const auto questions = questions_of(part);
    const auto spending = protocol_.most(questions);
    parts.push_back(part);
    exchanges.push_back(
        {.request = [this, questions] { return protocol_.request(questions); },
         .read =
             [this, questions, part](const HttpReply& reply) {
               auto answers = protocol_.read(reply, questions);
               for (size_t i = 0; i < part.size(); ++i) keep(*part[i], std::move(answers[i]));
             },
         .used = [this, spending](const HttpReply& reply) { return protocol_.used(reply, spending); },
         .most = spending});
  }
  const auto failures = client_.run(exchanges, deadline);
  for (size_t i = 0; i < parts.size(); ++i)
    for (auto* asked : parts[i]) asked->failure = failures[i];
  for (auto& asked : all) {
    if (asked.answer) continue;
    const auto& one = *first.at(asked.key);
    asked.answer = one.answer;
    asked.failure = one.failure;
  }
}

std::vector<ScoredSample> Scorer::score(const std::vector<Sample>& samples, double deadline) {
  const size_t orders = protocol_.swaps() ? 2 : 1;
  std::vector<ScoredSample> scored(samples.size());
  std::vector<Asked> asked;
  std::vector<size_t> of_sample;
  for (size_t b = 0; b < samples.size(); ++b) {
    scored[b].failure = unfit(protocol_, samples[b]);
    if (!scored[b].failure.empty()) continue;
    for (size_t order = 0; order < orders; ++order) {
      asked.push_back({.question = {&samples[b], order == 1}, .key = {}, .answer = {}, .failure = {}});
      look_up(asked.back());
    }
    of_sample.push_back(b);
  }
  ask(asked, deadline);
  for (size_t i = 0; i < of_sample.size(); ++i) {
    auto& sample = scored[of_sample[i]];
    std::vector<Answer> answers;
    for (size_t order = 0; order < orders; ++order) {
      auto& one = asked[i * orders + order];
      if (one.answer)
        answers.push_back(std::move(*one.answer));
      else
        sample.failure = one.failure;
    }
    if (answers.size() == orders) sample = {protocol_.combined(answers), ""};
  }
  return scored;
}

std::vector<Scorer::SampleGradient> Scorer::gradient(const std::vector<Sample>& samples,
                                                     const std::vector<float>& cotangent_BK,
                                                     double deadline) {
  const size_t K = protocol_.dimensions().size(), most = protocol_.questions_per_request();
  std::vector<SampleGradient> gradients(samples.size());
  std::vector<size_t> fit;
  for (size_t b = 0; b < samples.size(); ++b) {
    gradients[b].failure = unfit(protocol_, samples[b]);
    if (gradients[b].failure.empty()) fit.push_back(b);
  }
  std::vector<Exchange> exchanges;
  std::vector<std::span<size_t>> parts;
  for (size_t begin = 0; begin < fit.size(); begin += most) {
    const auto part = std::span(fit).subspan(begin, std::min(most, fit.size() - begin));
    Questions questions;
    std::vector<float> cotangent;
    for (const auto b : part) {
      questions.push_back({&samples[b], false});
      const auto row = cotangent_BK.begin() + static_cast<std::ptrdiff_t>(b * K);
      cotangent.insert(cotangent.end(), row, row + static_cast<std::ptrdiff_t>(K));
    }
    parts.push_back(part);
    exchanges.push_back(
        {.request = [this, questions, cotangent] { return protocol_.gradient_request(questions, cotangent); },
         .read =
             [this, questions, part, &gradients](const HttpReply& reply) {
               auto values = protocol_.read_gradient(reply, questions);
               for (size_t i = 0; i < part.size(); ++i) gradients[part[i]].values = std::move(values[i]);
             },
         .used = {},
         .most = {1, 0, 0}});
  }
  const auto failures = client_.run(exchanges, deadline);
  for (size_t i = 0; i < parts.size(); ++i)
    for (const auto b : parts[i]) gradients[b].failure = failures[i];
  return gradients;
}

}  // namespace remote
