// One kind of sampler, as a job picks it: its keys and what they stand for. A kind is one file of this
// folder; the numerics are functions in samplers/.
#pragma once

#include <memory>

#include "engine/core/fields.h"
#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

class SamplerKind {
 public:
  virtual ~SamplerKind() = default;
  virtual std::unique_ptr<SamplerKind> clone() const = 0;

  /// Keys of its own. `noise_steps` stands for those that every sampler with noise shares, at their place.
  virtual void describe(Fields& fields, const Fields::Describe& noise_steps) = 0;

  /// Its transition in every step; empty: it is not made of one-step transitions, and solve() draws.
  virtual Kernel kernel() const = 0;
  /// x_0 of the ODE, for kinds without a kernel.
  virtual at::Tensor solve(const SamplerInput& input) const;

  /// Of steps with noise; null: it draws none at any setting.
  virtual LogProb log_prob() const { return nullptr; }
  /// Whether its steps have the ODE's marginals, where the velocity is exact.
  virtual bool keeps_marginals() const { return true; }
};

/// A sampler with one key, "noise_level". Defaults of that key differ, so each kind is its own.
class NoisySampler : public SamplerKind {
 public:
  explicit NoisySampler(double noise_level) : noise_level_(noise_level) {}
  LogProb log_prob() const override { return gaussian; }

 protected:
  void describe_noise(Fields& fields, const char* doc, double high, const Fields::Describe& noise_steps);

  double noise_level_;
};

/// A method for the ODE, without keys.
class SolverKind : public SamplerKind {
 public:
  void describe(Fields&, const Fields::Describe&) override {}
  Kernel kernel() const override { return {}; }
};

}  // namespace thalweg
