#include "pipelines/methods/lag.h"

#include <algorithm>

namespace thalweg {
namespace {

// Types 0, 1 and 2 of DiffusionNFT's trainer (arXiv 2509.16117).
Lag preset(const std::string& name) {
  Lag lag;
  if (name == "none") lag.rate = lag.maximum = 0.0;
  if (name == "late") lag.rate = 0.0075, lag.start = 75, lag.maximum = 0.999;
  return lag;
}

}  // namespace

double Lag::at(int64_t n) const {
  if (name != "ramp") {
    auto numbers = preset(name);
    numbers.name = "ramp";
    return numbers.at(n);
  }
  const auto grown = rate * static_cast<double>(std::max<int64_t>(n - start, 0));
  return n < start ? initial : std::min(initial + grown, maximum);
}

void describe(Fields& f, Field field, Lag& lag) {
  const auto nothing = [](Fields&) {};
  f.object(field, [&](Fields& d) {
    d.variant(
        {"name", "decay d of step n: role <- d role + (1 - d) policy"}, lag.name,
        {{"ramp", "min(initial + rate (n - start), maximum)",
          [&](Fields& r) {
            r.number({"initial", "decay until it grows"}, lag.initial, 0.0, 1.0);
            r.number({"rate", "growth of the decay a step"}, lag.rate, 0.0, 1.0);
            r.integer({"start", "steps before it grows"}, lag.start, 0, 1000000);
            r.number({"maximum", "largest decay; 0: no lag, 1: it may stand still"}, lag.maximum, 0.0, 1.0);
          }},
         {"none", "0: the role is the policy (type 0 of DiffusionNFT's trainer)", nothing},
         {"slow", "min(0.001 n, 0.5) (its type 1)", nothing},
         {"late", "0 for 75 steps, then min(0.0075 (n - 75), 0.999) (its type 2)", nothing}});
  });
}

}  // namespace thalweg
