// The line between the program and a process that scores for it: one message at a time over a socket, each
// its length in eight bytes, lowest first, and a JSON text; tensors lie in memory that both have mapped.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "engine/core/descriptor.h"
#include "engine/core/json.h"

namespace thalweg {

/// The other end is gone, or what it said cannot be read.
class WireBroken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The other end is gone.
class WireClosed : public WireBroken {
 public:
  using WireBroken::WireBroken;
};

class Wire {
 public:
  explicit Wire(Descriptor socket) : socket_(std::move(socket)) {}

  /// Throws WireBroken. [any thread]
  void send(const Json& message);
  /// Nothing where `seconds` pass first; below 0: waits for ever. Throws WireBroken.
  std::optional<Json> receive(double seconds);
  int descriptor() const { return socket_.get(); }

 private:
  const Descriptor socket_;
  std::mutex sending_;
};

/// Grows on the program's side; the other side maps it as large as it is told.
class SharedMemory {
 public:
  /// New and empty. Throws IoError.
  SharedMemory();
  explicit SharedMemory(Descriptor memory) : memory_(std::move(memory)) {}
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// At least so many bytes. Throws IoError.
  void grow(size_t bytes);
  /// Those that are there. Throws WireBroken where there are fewer.
  void map(size_t bytes);
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int descriptor() const { return memory_.get(); }

 private:
  void unmap() noexcept;

  const Descriptor memory_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace thalweg
