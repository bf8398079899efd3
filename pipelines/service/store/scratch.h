// A folder that is removed with all that is in it, unless it is to stay.
#pragma once

#include <filesystem>
#include <utility>

namespace thalweg::service {

class Scratch {
 public:
  /// Makes nothing: who puts something there does.
  explicit Scratch(std::filesystem::path path) : path_(std::move(path)) {}
  ~Scratch() {
    std::error_code ignored;
    if (!stays_) std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void keep() { stays_ = true; }

 private:
  std::filesystem::path path_;
  bool stays_ = false;
};

}  // namespace thalweg::service
