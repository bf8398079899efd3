// From samples to scores: what is in the cache is not asked, what is asked twice is asked once, and what
// failed has no score.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cache.h"
#include "client.h"
#include "protocol.h"

namespace remote {

/// For each sample its scores, or why it has none.
struct ScoredSample {
  std::vector<double> scores_K;
  std::string failure;
};

class Scorer {
 public:
  /// All outlive it. `judge` names the server and the model in the cache's keys; `warn` takes a line.
  Scorer(Protocol& protocol, Client& client, Cache& cache, std::string judge,
         std::function<void(const std::string&)> warn);

  std::vector<ScoredSample> score(const std::vector<Sample>& samples, double deadline);

  struct SampleGradient {
    std::vector<float> values;  // the shape of the frames; empty where there is none
    std::string failure;
  };
  /// `cotangent_BK` dense.
  std::vector<SampleGradient> gradient(const std::vector<Sample>& samples,
                                       const std::vector<float>& cotangent_BK, double deadline);

 private:
  struct Asked {
    Question question;
    std::string key;
    std::optional<Answer> answer;
    std::string failure;
  };
  void look_up(Asked& asked);
  void keep(Asked& asked, Answer answer);
  void ask(std::vector<Asked>& asked, double deadline);

  Protocol& protocol_;
  Client& client_;
  Cache& cache_;
  const std::string judge_;
  const std::function<void(const std::string&)> warn_;
};

}  // namespace remote
