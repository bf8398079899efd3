// Resampling: how many offspring each particle has. Every scheme is unbiased: the expectation is N w / sum w.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace thalweg {

/// The k-th uniform number in [0,1) of one resampling, k < N.
using Uniforms = std::function<double(int64_t k)>;

/// Offspring of N particles (their sum is N) from weights >= 0, not all 0. Weight 0: none.
using Resampling = std::vector<int64_t> (*)(const std::vector<double>& weights, const Uniforms& uniforms);

/// One uniform number, N points at equal distances (Carpenter et al. 1999): N w / sum w rounded down or up.
std::vector<int64_t> systematic(const std::vector<double>& weights, const Uniforms& uniforms);

/// Srinivasan's sampling process (Gerber, Chopin, Whiteley 2019, arXiv 1708.02230, algorithm 2): rounded down
/// or up as well, and consistent whatever the order of the particles.
std::vector<int64_t> ssp(const std::vector<double>& weights, const Uniforms& uniforms);

/// N draws with replacement, one uniform number each: the noisiest.
std::vector<int64_t> multinomial(const std::vector<double>& weights, const Uniforms& uniforms);

/// By the names above; asserts on another.
Resampling resampling_named(const std::string& name);
const std::vector<std::string>& resampling_names();

/// Whom each place is filled from: particles with offspring stay where they are, further copies go where
/// there are none.
std::vector<int64_t> ancestors_of(const std::vector<int64_t>& offspring);

/// An index drawn by weight (>= 0, not all 0) with one uniform number in [0,1).
int64_t draw_index(const std::vector<double>& weights, double uniform);

}  // namespace thalweg
