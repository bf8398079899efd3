#include "rewards/hosted/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>

#include "engine/core/error.h"

namespace thalweg {
namespace {

using Clock = std::chrono::steady_clock;
using Length = std::array<unsigned char, 8>;

std::string why() {
  return std::generic_category().message(errno);
}

Length bytes_of(uint64_t length) {
  Length bytes{};
  for (auto& byte : bytes) {
    byte = static_cast<unsigned char>(length & 0xff);
    length >>= 8;
  }
  return bytes;
}

uint64_t length_of(const Length& bytes) {
  uint64_t length = 0;
  for (size_t i = bytes.size(); i-- > 0;) length = length << 8 | bytes[i];
  return length;
}

void send_all(int socket, const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const auto sent = ::send(socket, bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) throw WireClosed("cannot be told anything: " + why());
    bytes += sent;
    size -= static_cast<size_t>(sent);
  }
}

// Whether there is something to read before the end.
bool readable(int socket, std::optional<Clock::time_point> end) {
  for (;;) {
    int wait_ms = -1;
    if (end) {
      const auto left = std::chrono::duration<double, std::milli>(*end - Clock::now()).count();
      wait_ms = static_cast<int>(std::clamp(std::ceil(left), 0.0, 1e9));
    }
    pollfd one{socket, POLLIN, 0};
    const int found = ::poll(&one, 1, wait_ms);
    if (found > 0) return true;
    if (found == 0) return false;
    if (errno != EINTR) throw WireBroken("cannot be heard: " + why());
  }
}

// False where the time ends first.
bool receive_all(int socket, void* data, size_t size, std::optional<Clock::time_point> end) {
  auto* bytes = static_cast<char*>(data);
  while (size > 0) {
    if (!readable(socket, end)) return false;
    const auto received = ::recv(socket, bytes, size, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) throw WireClosed("the other end is gone");
    bytes += received;
    size -= static_cast<size_t>(received);
  }
  return true;
}

}  // namespace

void Wire::send(const Json& message) {
  const auto text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
  const auto length = bytes_of(text.size());
  const std::lock_guard lock(sending_);
  send_all(socket_.get(), length.data(), length.size());
  send_all(socket_.get(), text.data(), text.size());
}

std::optional<Json> Wire::receive(double seconds) {
  std::optional<Clock::time_point> end;
  if (seconds >= 0.0)
    end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  Length length{};
  if (!receive_all(socket_.get(), length.data(), length.size(), end)) return std::nullopt;
  const auto size = length_of(length);
  if (size > kMaxJsonBytes) throw WireBroken("sent a message that is too long");
  std::string text(size, '\0');
  if (!receive_all(socket_.get(), text.data(), text.size(), end)) return std::nullopt;
  try {
    return parse_json(text, "a message");
  } catch (const Error& e) {
    throw WireBroken("sent a message that cannot be read: " + e.message());
  }
}

SharedMemory::SharedMemory() : memory_(::memfd_create("reward", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  // What is mapped stays: the other side cannot make it smaller.
  if (memory_.get() < 0 || ::fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0)
    throw IoError("memory for rewards", why());
}

SharedMemory::~SharedMemory() {
  unmap();
}

void SharedMemory::unmap() noexcept {
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

void SharedMemory::grow(size_t bytes) {
  if (bytes <= size_) return;
  const size_t pages = (bytes + 65535) / 65536 * 65536;
  if (::ftruncate(memory_.get(), static_cast<off_t>(pages)) != 0) throw IoError("memory for rewards", why());
  map(pages);
}

void SharedMemory::map(size_t bytes) {
  if (bytes == size_) return;
  struct stat file {};
  if (::fstat(memory_.get(), &file) != 0 || file.st_size < static_cast<off_t>(bytes))
    throw WireBroken("the shared memory is smaller than was said");
  unmap();
  if (bytes == 0) return;
  auto* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (mapped == MAP_FAILED) throw IoError("memory for rewards", why());
  data_ = static_cast<std::byte*>(mapped);
  size_ = bytes;
}

}  // namespace thalweg
