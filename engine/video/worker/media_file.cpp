#include "engine/video/worker/media_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace thalweg::video {
namespace {

constexpr int kBuffer = 1 << 16;

}  // namespace

MediaFile::MediaFile(int descriptor, Use use) : descriptor_(descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) throw Refused("is not a regular file");
  auto* buffer = static_cast<unsigned char*>(check(av_malloc(kBuffer), "cannot be opened"));
  stream_ = avio_alloc_context(buffer, kBuffer, use == Use::write ? 1 : 0, this, &MediaFile::read,
                               use == Use::write ? &MediaFile::write : nullptr, &MediaFile::seek);
  if (stream_ == nullptr) av_free(buffer);
  check(stream_, "cannot be opened");
}

MediaFile::~MediaFile() {
  av_freep(&stream_->buffer);
  avio_context_free(&stream_);
}

int64_t MediaFile::size() const {
  struct stat status {};
  return ::fstat(descriptor_, &status) == 0 ? status.st_size : AVERROR(errno);
}

int MediaFile::read(void* file, uint8_t* bytes, int count) {
  auto& self = *static_cast<MediaFile*>(file);
  const auto got = ::pread(self.descriptor_, bytes, static_cast<size_t>(count), self.position_);
  if (got < 0) return AVERROR(errno);
  if (got == 0) return AVERROR_EOF;
  self.position_ += got;
  return static_cast<int>(got);
}

#if LIBAVFORMAT_VERSION_MAJOR < 61
int MediaFile::write(void* file, uint8_t* bytes, int count) {
#else
int MediaFile::write(void* file, const uint8_t* bytes, int count) {
#endif
  auto& self = *static_cast<MediaFile*>(file);
  for (int done = 0; done < count;) {
    const auto put =
        ::pwrite(self.descriptor_, bytes + done, static_cast<size_t>(count - done), self.position_);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put < 0 ? AVERROR(errno) : AVERROR(EIO);
    done += static_cast<int>(put);
    self.position_ += put;
  }
  return count;
}

int64_t MediaFile::seek(void* file, int64_t offset, int whence) {
  auto& self = *static_cast<MediaFile*>(file);
  const int64_t size = self.size();
  switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
      return size;
    case SEEK_SET:
      break;
    case SEEK_CUR:
      offset += self.position_;
      break;
    case SEEK_END:
      offset += size;
      break;
    default:
      return AVERROR(EINVAL);
  }
  if (offset < 0) return AVERROR(EINVAL);
  return self.position_ = offset;
}

}  // namespace thalweg::video
