// Errors of the user (a job, a file, a plugin) carry the place where they are; bugs assert.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace thalweg {

/// A mistake that a user can mend. `place` is a JSON pointer ("/method/clip_range") or a file's path;
/// `message` says what is wrong there and what to do. The program prints both and exits with 2.
class Error : public std::runtime_error {
 public:
  Error(std::string place, const std::string& message)
      : std::runtime_error(place.empty() ? message : place + ": " + message),
        place_(std::move(place)),
        message_(message) {}

  const std::string& place() const noexcept { return place_; }
  const std::string& message() const noexcept { return message_; }

 private:
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
