// A file, or a range of it, a piece at a time (RFC 9110, section 14: one range).
#pragma once

#include <cstdint>
#include <string>

namespace thalweg::service {

class FileAnswer {
 public:
  /// `range`: the request's header; what it does not understand is answered with the whole file. `descriptor`
  /// must stay open.
  FileAnswer(int descriptor, const std::string& range);

  unsigned status() const { return status_; }  ///< 200, 206, or 416 for a range beyond the end
  uint64_t length() const { return length_; }
  const std::string& range() const { return range_; }  ///< of the answer's header; may be empty
  /// The next bytes; empty at the end, or where the file ends early.
  std::string next(size_t most);
  bool is_whole() const { return left_ == 0; }

 private:
  int descriptor_;
  unsigned status_ = 200;
  uint64_t at_ = 0, length_ = 0, left_ = 0;
  std::string range_;
};

}  // namespace thalweg::service
