#include "engine/video/worker/frame_rate.h"

#include <algorithm>
#include <cmath>

#include "engine/video/messages.h"

namespace thalweg::video {
namespace {

AVRational within_terms(int64_t numerator, int64_t denominator) {
  AVRational value{0, 1};
  av_reduce(&value.num, &value.den, numerator, denominator, kMaxRateTerm);
  return value;
}

}  // namespace

Rate rate_of(const std::vector<int64_t>& times, AVRational unit, AVRational stated) {
  const bool is_stated = stated.num > 0 && stated.den > 0;
  if (times.size() < 2) return {is_stated ? within_terms(stated.num, stated.den) : AVRational{0, 1}};
  const auto intervals = static_cast<int64_t>(times.size()) - 1;
  const int64_t whole = times.back() - times.front();
  if (whole <= 0) return {is_stated ? within_terms(stated.num, stated.den) : AVRational{0, 1}, true};
  const double mean = static_cast<double>(whole) / static_cast<double>(intervals);
  Rate rate;
  // A file's clock may be coarse (milliseconds): times are rounded to it, so two may be off by one together.
  for (size_t i = 1; i < times.size(); ++i)
    rate.varies = rate.varies || std::abs(static_cast<double>(times[i] - times[i - 1]) - mean) > 1.0;
  const double measured = 1.0 / (mean * av_q2d(unit));
  const double slack = 1.0 / static_cast<double>(whole);  // relative, of a whole that was rounded
  if (!rate.varies && is_stated && std::abs(av_q2d(stated) / measured - 1.0) <= slack + 1e-9)
    rate.value = within_terms(stated.num, stated.den);
  else
    rate.value = within_terms(intervals * unit.den, whole * unit.num);
  return rate;
}

}  // namespace thalweg::video
