// Coefficients-preserving sampling (Flow-CPS: Wang and Yu 2025, arXiv 2509.05952).
#pragma once

#include "samplers/kernel.h"

namespace thalweg {

/// renoised with std = s' sin(eta pi/2): no more noise is left than s', so that few steps end in clean
/// pictures; the last step draws none. It does not keep the ODE's marginals. eta in [0, 1]; 0 is Euler's
/// step, bit for bit.
Kernel cps(double eta);

/// Flow-CPS' log-probability, -mean (next - mean)^2: the Gaussian's times 2 std^2 without its constant, so
/// that steps with little noise count less.
LogProbForm squared_error(double std);

}  // namespace thalweg
