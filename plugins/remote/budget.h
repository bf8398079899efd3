// Caps on requests, tokens and cost: what a request may take is set aside before it is sent, in one step for
// all threads and processes that share the file. Requests never exceed theirs; tokens and cost do not as long
// as no request takes more than was set aside for it.
#pragma once

#include <cstdint>
#include <string>

#include "store.h"

namespace remote {

struct Spending {
  int64_t requests = 0, tokens = 0;
  double cost = 0;
};

/// 0: no cap.
struct Caps {
  int64_t requests = 0, tokens = 0;
  double cost = 0;
};

class Budget {
 public:
  /// `judge` names what is counted together. `store` outlives it.
  Budget(Store& store, std::string judge, const Caps& caps);

  /// "", or which cap is in the way; then nothing was set aside. No cap is in the way of nothing. [any
  /// thread]
  std::string reserve(const Spending& most);
  /// What of `reserved` was used in truth, which may be more; the rest is given back.
  void settle(const Spending& reserved, const Spending& used);

  Spending spent();

 private:
  Store& store_;
  const std::string judge_;
  const Caps caps_;
};

}  // namespace remote
