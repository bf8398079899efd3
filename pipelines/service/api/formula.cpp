#include "pipelines/service/api/formula.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "pipelines/service/http/message.h"

namespace thalweg::service {
namespace {

class Formula {
 public:
  Formula(std::string_view text, const std::string& pointer) : text_(text), pointer_(pointer) {}

  std::vector<std::pair<std::string, double>> weights() {
    std::vector<std::pair<std::string, double>> found;
    double sign = take('-') ? -1.0 : 1.0;
    for (;;) {
      auto [name, weight] = term();
      const auto known =
          std::find_if(found.begin(), found.end(), [&](const auto& f) { return f.first == name; });
      if (known == found.end()) {
        found.emplace_back(std::move(name), sign * weight);
      } else {
        known->second += sign * weight;
      }
      skip_blanks();
      if (text_.empty()) return found;
      if (take('+')) {
        sign = 1.0;
      } else if (take('-')) {
        sign = -1.0;
      } else {
        refuse();
      }
    }
  }

 private:
  [[noreturn]] void refuse() const {
    throw ApiError(
        400, "unknown_formula",
        "must be a weighted sum of graders, such as \"0.7 * a + 0.3 * b\"; it cannot be read from \"" +
            std::string(text_.substr(0, 40)) + "\" on",
        pointer_);
  }

  void skip_blanks() {
    while (!text_.empty() && text_.front() == ' ') text_.remove_prefix(1);
  }

  bool take(char wanted) {
    skip_blanks();
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::optional<double> number() {
    skip_blanks();
    if (text_.empty() ||
        !(std::isdigit(static_cast<unsigned char>(text_.front())) != 0 || text_.front() == '.'))
      return std::nullopt;
    const std::string rest(text_.substr(0, 64));
    char* end = nullptr;
    const double value = std::strtod(rest.c_str(), &end);
    if (end == rest.c_str() || !std::isfinite(value)) refuse();
    text_.remove_prefix(static_cast<size_t>(end - rest.c_str()));
    return value;
  }

  std::string name() {
    skip_blanks();
    size_t size = 0;
    while (size < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[size])) != 0 || text_[size] == '_'))
      ++size;
    if (size == 0) refuse();
    std::string word(text_.substr(0, size));
    text_.remove_prefix(size);
    return word;
  }

  /// "0.5 * a", "a * 0.5", "a / 2" or "a".
  std::pair<std::string, double> term() {
    double weight = 1.0;
    if (const auto factor = number()) {
      weight = *factor;
      if (!take('*')) refuse();
    }
    auto grader = name();
    if (take('*')) {
      const auto factor = number();
      if (!factor) refuse();
      weight *= *factor;
    } else if (take('/')) {
      const auto divisor = number();
      if (!divisor || *divisor == 0.0) refuse();
      weight /= *divisor;
    }
    return {std::move(grader), weight};
  }

  std::string_view text_;
  const std::string& pointer_;
};

}  // namespace

std::vector<std::pair<std::string, double>> linear_weights(const std::string& formula,
                                                           const std::string& pointer) {
  return Formula(formula, pointer).weights();
}

}  // namespace thalweg::service
