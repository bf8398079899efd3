// Whether, and when, a request is sent again.
#pragma once

#include <optional>
#include <string_view>

namespace remote {

inline constexpr double kLongestBackoff = 30.0, kLongestRetryAfter = 120.0;

/// 408, 409, 425, 429 and 5xx. Other statuses stay what they are however often one asks.
bool may_retry(int status);

/// Full jitter: uniform in [0, min(30, 0.5 * 2^k)] seconds before attempt k + 1 (k = 0 after the first), for
/// `uniform` in [0, 1].
double backoff(int k, double uniform);

/// Seconds that a Retry-After header asks for, at `date` (seconds since 1970): a number of seconds or an HTTP
/// date, from 0 to 120. None for anything else.
std::optional<double> retry_after(std::string_view header, double date);

}  // namespace remote
