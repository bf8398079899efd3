#include "engine/video/messages.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

namespace thalweg::video {
namespace {

constexpr size_t kTag = 4, kBlock = size_t{1} << 20;

std::string reason() {
  return std::generic_category().message(errno);
}

std::string whole(double number) {
  return std::to_string(std::llround(number));
}

// Below 0: for ever.
bool ready(int descriptor, short events, double seconds) {
  pollfd line{descriptor, events, 0};
  const int timeout = seconds < 0.0 ? -1 : static_cast<int>(std::ceil(seconds * 1000.0));
  for (;;) {
    const int found = ::poll(&line, 1, timeout);
    if (found >= 0) return found > 0;
    if (errno != EINTR) throw LineBroken(reason());
  }
}

}  // namespace

bool Line::has_news(double seconds) const {
  return ready(in_, POLLIN, seconds);
}

// A pipe, too, may be at the other end; a socket must not raise SIGPIPE.
void Line::write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!ready(out_, POLLOUT, seconds_)) throw LineBroken("took nothing for " + whole(seconds_) + " s");
    const auto block = std::min(bytes.size(), kBlock);
    auto sent = ::send(out_, bytes.data(), block, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == ENOTSOCK) sent = ::write(out_, bytes.data(), block);
    if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (sent < 0) throw LineBroken(reason());
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

size_t Line::read(char* bytes, size_t count) {
  size_t there = 0;
  while (there < count) {
    if (!ready(in_, POLLIN, seconds_)) throw LineBroken("said nothing for " + whole(seconds_) + " s");
    const auto got = ::read(in_, bytes + there, count - there);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ECONNRESET) return there;
    if (got < 0) throw LineBroken(reason());
    if (got == 0) return there;
    there += static_cast<size_t>(got);
  }
  return there;
}

void Line::send(std::string_view tag, std::string_view payload) {
  write(std::string(tag) + little_endian_bytes(static_cast<uint64_t>(payload.size())));
  write(payload);
}

std::optional<Message> Line::receive(uint64_t most_bytes) {
  std::string head(kTag + sizeof(uint64_t), '\0');
  const auto got = read(head.data(), head.size());
  if (got == 0) return std::nullopt;
  if (got < head.size()) throw LineBroken("a message is cut short");
  const auto length = little_endian<uint64_t>(std::string_view(head).substr(kTag));
  if (length > most_bytes) throw LineBroken("a message is too long");
  Message message{head.substr(0, kTag), std::string(length, '\0')};
  if (read(message.payload.data(), message.payload.size()) < length)
    throw LineBroken("a message is cut short");
  return message;
}

}  // namespace thalweg::video
