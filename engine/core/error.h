// Errors of the user (a job, a file, a plugin) carry the place where they are; bugs assert.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "engine/core/text.h"

namespace thalweg {

/// A mistake that a user can mend. `place` is a JSON pointer ("/method/clip_range") or a file's path;
/// `message` says what is wrong there and what to do. The program prints both and exits with 2. Either may
/// quote a file: both are kept to one printable line of bounded length.
class Error : public std::runtime_error {
 public:
  Error(const std::string& place, const std::string& message)
      : Error(Shown{}, printable(place, kMaxPlace), printable(message, kMaxMessage)) {}

  const std::string& place() const noexcept { return place_; }
  const std::string& message() const noexcept { return message_; }

 private:
  struct Shown {};
  static constexpr size_t kMaxPlace = 1000, kMaxMessage = 2000;

  Error(Shown, std::string place, std::string message)
      : std::runtime_error(place.empty() ? message : place + ": " + message),
        place_(std::move(place)),
        message_(std::move(message)) {}

  std::string place_;
  std::string message_;
};

/// What the machine refused: a full disk, a missing right, a device that fails. The job may be right, so the
/// program exits with 1.
class IoError : public Error {
 public:
  using Error::Error;
};

}  // namespace thalweg
