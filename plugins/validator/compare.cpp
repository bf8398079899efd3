#include "plugins/validator/compare.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>
#include <numeric>

namespace thalweg::validator {
namespace {

std::string shown(float value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", static_cast<double>(value));
  return is_unwritten(value) ? "nothing" : text;
}

bool agree(float a, float b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;
  const double x = a, y = b;
  return std::abs(x - y) <= tolerance * std::max(1.0, std::abs(x));
}

}  // namespace

std::vector<int64_t> first_numbers(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  return numbers;
}

std::vector<float> first_scores(Subject& s, Instance& instance) {
  Samples samples(first_numbers(s.options.batch), s.inputs(), s.shape(), s.options);
  return instance.score(samples);
}

void require_same(Subject& s, Instance& instance, const std::vector<float>& a, const std::vector<float>& b,
                  double tolerance, const std::string& when_a, const std::string& when_b) {
  if (s.has_feature(THALWEG_FEATURE_NONDETERMINISTIC))
    throw Skip("the reward says that it is nondeterministic");
  const auto& names = instance.dimensions();
  require(a.size() == b.size(), "the number of dimensions changed");
  for (size_t i = 0; i < a.size(); ++i)
    require(agree(a[i], b[i], tolerance), "sample " + std::to_string(i / names.size()) + ", dimension \"" +
                                              names[i % names.size()] + "\": " + shown(a[i]) + " " + when_a +
                                              ", " + shown(b[i]) + " " + when_b);
}

AtPageEnd::AtPageEnd(const void* source, size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  length_ = 2 * page;
  void* pages = ::mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || bytes > page) throw std::bad_alloc();
  pages_ = static_cast<char*>(pages);
  char* copy = pages_ + page - bytes;
  std::memcpy(copy, source, bytes);
  ::mprotect(pages_ + page, page, PROT_NONE);
  data_ = copy;
}

AtPageEnd::~AtPageEnd() {
  ::munmap(pages_, length_);
}

}  // namespace thalweg::validator
