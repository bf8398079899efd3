// Small things that several clauses need.
#pragma once

#include <string>
#include <vector>

#include "plugins/validator/instance.h"

namespace thalweg::validator {

/// 0, 1, ... count - 1.
std::vector<int64_t> first_numbers(int64_t count);

/// Values [B,K] of the first `options.batch` samples.
std::vector<float> first_scores(Subject& subject, Instance& instance);

/// Breach unless both [B,K] agree: NaN with NaN, numbers within `tolerance` (relative above 1). A
/// nondeterministic reward is let off: Skip.
void require_same(Subject& subject, Instance& instance, const std::vector<float>& a,
                  const std::vector<float>& b, double tolerance, const std::string& when_a,
                  const std::string& when_b);

/// A copy of `bytes` bytes at the very end of a page, before one that nobody may read.
class AtPageEnd {
 public:
  AtPageEnd(const void* source, size_t bytes);
  ~AtPageEnd();
  AtPageEnd(const AtPageEnd&) = delete;
  AtPageEnd& operator=(const AtPageEnd&) = delete;
  const void* data() const { return data_; }

 private:
  char* pages_ = nullptr;
  size_t length_ = 0;
  const char* data_ = nullptr;
};

}  // namespace thalweg::validator
