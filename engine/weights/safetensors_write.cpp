#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/weights/dtypes.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

struct Part {
  const std::string* name;
  const at::Tensor* tensor;
  const StoredDtype* dtype;
  uint64_t begin, end;
};

/// The order of the data: wide elements first, so that every tensor lies on a multiple of its element.
std::vector<Part> lay_out(const TensorMap& tensors, const std::string& place) {
  std::vector<Part> parts;
  for (const auto& [name, tensor] : tensors) {
    const auto fail = [&](const std::string& message) {
      throw Error(place, "tensor " + shown_name(name) + " cannot be stored: " + message);
    };
    if (name == "__metadata__") fail("the format keeps that name for itself");
    if (!tensor.defined()) fail("it has no value");
    if (tensor.layout() != at::kStrided) fail("it is not dense");
    const auto* dtype = find_stored_dtype(tensor.scalar_type());
    if (!dtype) fail(std::string("the format has no dtype for ") + at::toString(tensor.scalar_type()));
    parts.push_back({&name, &tensor, dtype, 0, 0});
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.dtype->bits > b.dtype->bits; });
  uint64_t reached = 0;
  for (auto& part : parts) {
    part.begin = reached;
    reached += static_cast<uint64_t>(part.tensor->numel()) * (part.dtype->bits / 8);
    part.end = reached;
  }
  return parts;
}

/// Length and JSON, padded with spaces to a multiple of 8 as the reference writer does.
std::string header_of(std::vector<Part> parts, const Metadata& metadata, const std::string& place) {
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return *a.name < *b.name; });
  const auto quoted = [&](const std::string& text) {
    try {
      return Json(text).dump();
    } catch (const nlohmann::json::exception&) {
      throw Error(place, "a name or metadata text to be stored is not valid UTF-8");
    }
  };
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      json += (json.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
    json += "}";
  }
  for (const auto& part : parts) {
    std::string shape;
    for (const auto size : part.tensor->sizes()) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    json += (json.size() == 1 ? "" : ",") + quoted(*part.name) + ":{\"dtype\":\"" +
            std::string(part.dtype->name) + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
            std::to_string(part.begin) + "," + std::to_string(part.end) + "]}";
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxHeaderBytes)
    throw Error(place, "cannot be written: the header would exceed the format's limit");
  const uint64_t length = json.size();
  std::string header(sizeof length, '\0');
  std::memcpy(header.data(), &length, sizeof length);
  return header + json;
}

/// A file that takes its final name only when everything is on the disk.
class PendingFile {
 public:
  explicit PendingFile(std::filesystem::path path)
      : path_(std::move(path)), temporary_(path_.string() + ".tmp") {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) fail();
  }
  ~PendingFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!done_) ::unlink(temporary_.c_str());
  }
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  void write(const char* data, size_t size) {
    while (size > 0) {
      const auto written = ::write(fd_, data, std::min<size_t>(size, size_t{1} << 30));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      data += written;
      size -= static_cast<size_t>(written);
    }
  }

  void commit() {
    if (::fsync(fd_) != 0) fail();
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0) fail();
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
    done_ = true;
    sync_folder();
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(path_.string(), std::string("cannot be written: ") + std::strerror(errno));
  }

  /// The rename itself must outlive a power cut. Some file systems refuse; the file is whole either way.
  void sync_folder() const {
    const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    ::fsync(fd);
    ::close(fd);
  }

  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  bool done_ = false;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const Metadata& metadata) {
  const auto parts = lay_out(tensors, path.string());
  const auto header = header_of(parts, metadata, path.string());
  PendingFile file(path);
  file.write(header.data(), header.size());
  for (const auto& part : parts) {
    // One tensor at a time: a copy from a GPU or of a strided tensor lives no longer than its write.
    const auto flat = part.tensor->detach().to(at::kCPU).contiguous();
    file.write(static_cast<const char*>(flat.const_data_ptr()), part.end - part.begin);
  }
  file.commit();
}

}  // namespace thalweg
