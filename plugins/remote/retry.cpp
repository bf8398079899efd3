#include "retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace remote {

bool may_retry(int status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || (status >= 500 && status <= 599);
}

double backoff(int k, double uniform) {
  return uniform * std::min(kLongestBackoff, 0.5 * std::ldexp(1.0, std::clamp(k, 0, 30)));
}

std::optional<double> retry_after(std::string_view header, double date) {
  while (!header.empty() && (header.front() == ' ' || header.front() == '\t')) header.remove_prefix(1);
  while (!header.empty() && (header.back() == ' ' || header.back() == '\t')) header.remove_suffix(1);
  if (header.empty() || header.size() > 64) return std::nullopt;
  if (header.find_first_not_of("0123456789") == std::string_view::npos)
    return std::min(kLongestRetryAfter, std::stod(std::string(header)));
  // It would take "20" and "Friday" for a day of some month.
  if (header.find(':') == std::string_view::npos) return std::nullopt;
  const auto then = curl_getdate(std::string(header).c_str(), nullptr);
  if (then < 0) return std::nullopt;
  return std::clamp(static_cast<double>(then) - date, 0.0, kLongestRetryAfter);
}

}  // namespace remote
