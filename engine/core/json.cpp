#include "engine/core/json.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <unordered_set>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/lfs.h"

namespace thalweg {
namespace {

// An ordered object is a list of pairs. Its own insertion searches the list: n keys would cost n * n / 2
// comparisons, which a file of a few megabytes turns into hours.
template <typename Value>
Value& append(nlohmann::ordered_json::object_t& object, const std::string& key, Value value) {
  return object.emplace_back(key, std::move(value)).second;
}

template <typename Value>
Value& append(nlohmann::json::object_t& object, const std::string& key, Value value) {
  return object.emplace(key, std::move(value)).first->second;
}

/// Builds a value from the parser's events; refuses depth and duplicate keys as they come.
template <typename Value>
class Builder final : public nlohmann::json_sax<Value> {
 public:
  explicit Builder(const std::string& place) : place_(place) {}

  Value take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(typename Value::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Value::value_t::object); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Value::value_t::array); }
  bool end_array() override { return close(); }

  bool key(std::string& key) override {
    if (!levels_.back().keys.insert(key).second)
      throw Error(place_, "the key \"" + printable(key, kShownKey) + "\" is given twice");
    key_ = std::move(key);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw Error(place_, std::string("not valid JSON: ") + printable(error.what(), kShownReason));
  }

 private:
  static constexpr size_t kShownKey = 80, kShownReason = 300;
  struct Level {
    Value* container;
    std::unordered_set<std::string> keys;  // of an object
  };

  Value& place_of(Value value) {
    if (levels_.empty()) return root_ = std::move(value);
    auto& container = *levels_.back().container;
    if (!container.is_array())
      return append(container.template get_ref<typename Value::object_t&>(), key_, std::move(value));
    auto& list = container.template get_ref<typename Value::array_t&>();
    return list.emplace_back(std::move(value));
  }

  bool add(Value value) {
    place_of(std::move(value));
    return true;
  }

  bool open(typename Value::value_t kind) {
    if (levels_.size() == kMaxJsonDepth)
      throw Error(place_, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
    levels_.push_back({&place_of(Value(kind)), {}});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  const std::string& place_;
  Value root_;
  std::vector<Level> levels_;  // a container does not move while one inside it is open
  std::string key_;
};

template <typename Value>
Value parse(std::string_view text, const std::string& place) {
  if (text.starts_with("\xEF\xBB\xBF"))
    throw Error(place, "starts with a byte order mark; save it as UTF-8 without one");
  // The library's lexer takes a NUL for the end and would not look behind it.
  if (text.find('\0') != std::string_view::npos) throw Error(place, "not valid JSON: it holds a NUL byte");
  Builder<Value> builder(place);
  Value::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

Json parse_json(std::string_view text, const std::string& place) {
  return parse<Json>(text, place);
}

nlohmann::json parse_sorted_json(std::string_view text, const std::string& place) {
  return parse<nlohmann::json>(text, place);
}

std::string read_file(const std::filesystem::path& path, size_t max_bytes) {
  const auto fail = [&](const std::string& message) { throw Error(path.string(), message); };
  // Non-blocking, so that a FIFO in place of the file is refused instead of waited for.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
    fail("no such file (paths are relative to the working directory)");
  if (fd < 0) fail(std::string("cannot be opened: ") + std::strerror(errno));
  const Descriptor descriptor{fd};
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail(std::string("cannot be examined: ") + std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail("is a folder, not a file");
  if (!S_ISREG(status.st_mode)) fail("is not a regular file");
  const auto size = static_cast<size_t>(status.st_size);
  if (size > max_bytes) fail("is larger than the " + std::to_string(max_bytes) + " bytes allowed here");
  std::string bytes(size, '\0');
  for (size_t done = 0; done < size;) {
    const auto got = ::read(fd, bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) fail("became shorter while it was read");
    done += static_cast<size_t>(got);
  }
  refuse_lfs_pointer(bytes, path);
  return bytes;
}

Json parse_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_file(path, max_bytes), path.string());
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  PendingFile file(path);
  file.write(bytes);
  file.publish();
}

}  // namespace thalweg
