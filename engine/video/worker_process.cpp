#include "engine/video/worker_process.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/video/program.h"

namespace thalweg::video {
namespace {

std::array<int, 2> connected(const std::string& file) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw IoError(file, "thalweg-video cannot be started: " + std::generic_category().message(errno));
  return ends;
}

// Where `ours` is to be kept, and theirs closed once the program has it.
Descriptor start(std::optional<Process>& process, const std::string& mode, int media,
                 const std::string& file) {
  const auto program = require_video_program(file);
  const auto ends = connected(file);
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  process.emplace(std::vector<std::string>{program, mode},
                  std::vector<GivenDescriptor>{{theirs.get(), 0}, {theirs.get(), 1}, {media, kMedia}});
  return ours;
}

}  // namespace

WorkerProcess::WorkerProcess(const std::string& mode, int media, double seconds, std::string file)
    : file_(std::move(file)), socket_(start(process_, mode, media, file_)) {
  line_.emplace(socket_.get(), socket_.get(), seconds);
}

// What it said before it closed the line is the reason.
void WorkerProcess::fail(const std::string& broken) {
  try {
    while (line_->has_news(0.0)) {
      const auto message = line_->receive();
      if (!message) break;
      if (message->tag == "FAIL") throw Error(file_, message->payload);
    }
  } catch (const LineBroken&) {
  }
  const bool alive = !process_->has_ended(0.5);
  const auto ended = process_->end();
  if (alive) throw IoError(file_, "thalweg-video was ended: " + broken);
  if (ended == "died of SIGXCPU")
    throw Error(file_,
                "takes thalweg-video more processor time than it may have: a file that is made to, or one "
                "far too long; cut it, or encode it anew");
  throw IoError(file_, "thalweg-video " + ended + " at this file" +
                           (ended == "died of SIGKILL" ? ", as where memory runs out" : ""));
}

void WorkerProcess::send(std::string_view tag, std::string_view payload) {
  try {
    line_->send(tag, payload);
  } catch (const LineBroken& e) {
    fail(e.what());
  }
}

Message WorkerProcess::receive() {
  try {
    if (auto message = line_->receive()) {
      if (message->tag == "FAIL") throw Error(file_, message->payload);
      return std::move(*message);
    }
  } catch (const LineBroken& e) {
    fail(e.what());
  }
  fail("it closed the line");
}

}  // namespace thalweg::video
