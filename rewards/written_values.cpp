#include "rewards/written_values.h"

#include <cmath>
#include <cstring>

namespace thalweg {
namespace {

/// NaN like any other to a plugin. One that is still there after the call was never written.
constexpr int32_t kUnwritten = 0x7fc0bad1;

std::string what_it_left(float value, const std::string& name) {
  int32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  if (bits == kUnwritten) return "left \"" + name + "\" unwritten";
  return std::string("wrote ") + (std::isnan(value) ? "NaN" : "an infinite value") + " for \"" + name + "\"";
}

}  // namespace

at::Tensor unwritten(at::IntArrayRef shape) {
  return at::full(shape, kUnwritten, at::TensorOptions(at::kInt)).view(at::kFloat);
}

void find_failures(const at::Tensor& values_BK, int64_t k, const std::string& name,
                   const std::map<uint32_t, std::string>& notes, std::vector<CallFailure>& failures) {
  const auto values = values_BK.accessor<float, 2>();
  std::map<std::string, int64_t> reasons;
  for (int64_t b = 0; b < values.size(0); ++b) {
    if (std::isfinite(values[b][k])) continue;
    const auto note = notes.find(static_cast<uint32_t>(b));
    ++reasons[note == notes.end() ? what_it_left(values[b][k], name)
                                  : "did not score \"" + name + "\": " + note->second];
  }
  for (const auto& [reason, samples] : reasons) failures.push_back({reason, samples, k});
}

}  // namespace thalweg
