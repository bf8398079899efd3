#include "engine/weights/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

#include "engine/core/error.h"
#include "engine/weights/header_scanner.h"

namespace thalweg {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
// Containers within a field that the format does not know: the reference reader's limit of 127 in all.
constexpr int kMaxUnknownDepth = 125;

class HeaderReader {
 public:
  HeaderReader(std::string_view json, const std::string& place, SafetensorsHeader& header)
      : place_(place), scan_(json, place), header_(header) {}

  void read() {
    scan_.object([&](const HeaderScanner::Text& key) {
      const auto name = view(key);
      if (name != kMetadataKey) return tensor(name);
      if (metadata_seen_) fail(shown_name(name) + " is described twice");
      metadata_seen_ = true;
      metadata();
    });
    scan_.end();
  }

 private:
  static constexpr unsigned kDtype = 1, kShape = 2, kOffsets = 4;  // fields seen, as bits

  [[noreturn]] void fail(const std::string& message) const { throw Error(place_, message); }
  [[noreturn]] void fail_tensor(const std::string& message) const {
    fail("tensor " + shown_name(entry_.name) + ": " + message);
  }

  std::string_view view(const HeaderScanner::Text& text) {
    return text.escaped ? header_.decoded.emplace_back(text.decoded()) : text.raw;
  }

  void metadata() {
    const auto kind = scan_.kind();
    if (kind == "null") return scan_.null();  // as the reference reader has it: none
    if (kind != "an object") fail("__metadata__ is " + kind + ", not an object of texts");
    scan_.object([&](const HeaderScanner::Text& key) {
      auto name = key.decoded();
      const auto value = scan_.kind();
      if (value != "a text")
        fail("__metadata__ holds " + value + " at " + shown_name(name) + ": only texts are allowed");
      if (header_.metadata.size() == kMaxMetadata)
        fail("__metadata__ holds more than " + std::to_string(kMaxMetadata) + " texts");
      const auto [place, is_new] = header_.metadata.try_emplace(std::move(name));
      if (!is_new) fail("__metadata__ gives " + shown_name(place->first) + " twice");
      place->second = scan_.text().decoded();
    });
  }

  void tensor(std::string_view name) {
    entry_ = {name, nullptr, 0, 0, 0};
    if (const auto kind = scan_.kind(); kind != "an object")
      fail("tensor " + shown_name(name) + " is described by " + kind + ", not by an object");
    if (header_.entries.size() == kMaxTensors) fail("more than " + std::to_string(kMaxTensors) + " tensors");
    unsigned seen = 0;
    scan_.object([&](const HeaderScanner::Text& key) {
      const auto field = key.decoded();
      const unsigned flag = field == "dtype"          ? kDtype
                            : field == "shape"        ? kShape
                            : field == "data_offsets" ? kOffsets
                                                      : 0;
      if (seen & flag) fail_tensor(field + " is given twice");
      seen |= flag;
      if (flag == kDtype) return dtype();
      if (flag == kShape) return shape();
      if (flag == kOffsets) return offsets();
      scan_.skip(kMaxUnknownDepth);  // a later version's
    });
    if (!(seen & kDtype)) fail_tensor("dtype is missing");
    if (!(seen & kShape)) fail_tensor("shape is missing");
    if (!(seen & kOffsets)) fail_tensor("data_offsets is missing");
    check_bytes();
    header_.entries.push_back(entry_);
  }

  void dtype() {
    if (const auto kind = scan_.kind(); kind != "a text") fail_tensor("dtype is " + kind);
    const auto name = scan_.text().decoded();
    entry_.dtype = find_stored_dtype(name);
    if (!entry_.dtype) fail_tensor("the format has no dtype " + shown_name(name));
  }

  uint64_t whole(const char* what) {
    auto kind = scan_.kind();
    if (kind == "a number" || kind == "a negative number") {
      uint64_t value = 0;
      const auto number = scan_.number(value);
      if (number == HeaderScanner::Number::whole) return value;
      if (number == HeaderScanner::Number::other) kind = "a fraction or too large a number";
    }
    fail_tensor(what + kind + ", not a whole number from 0");
  }

  void shape() {
    if (const auto kind = scan_.kind(); kind != "a list") fail_tensor("shape is " + kind);
    entry_.shape_at = scan_.position();
    size_t dimensions = 0;
    elements_ = 1;
    elements_overflow_ = false;
    scan_.list([&] {
      const auto size = whole("its shape holds ");
      if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        fail_tensor("a size of its shape is above 2^63 - 1");
      if (++dimensions > kMaxDimensions)
        fail_tensor("more than " + std::to_string(kMaxDimensions) + " dimensions");
      // Every product is checked, also where a later size is 0.
      elements_overflow_ |= __builtin_mul_overflow(elements_, size, &elements_);
    });
  }

  void offsets() {
    if (const auto kind = scan_.kind(); kind != "a list") fail_tensor("data_offsets is " + kind);
    uint64_t pair[2] = {0, 0};
    size_t count = 0;
    scan_.list([&] {
      if (count == 2) fail_tensor("data_offsets has more than two numbers");
      pair[count++] = whole("its data_offsets hold ");
    });
    if (count != 2) fail_tensor("data_offsets has " + std::to_string(count) + " numbers, not two");
    entry_.begin = pair[0];
    entry_.end = pair[1];
  }

  void check_bytes() const {
    if (entry_.begin > entry_.end) fail_tensor("its data_offsets end before they begin");
    if (elements_overflow_) fail_tensor("the product of its shape overflows");
    uint64_t bits = 0;
    if (__builtin_mul_overflow(elements_, entry_.dtype->bits, &bits))
      fail_tensor("its shape needs more than 2^64 bits");
    if (bits % 8 != 0)
      fail_tensor("its elements of " + std::to_string(entry_.dtype->bits) + " bits end within a byte");
    if (bits / 8 != entry_.end - entry_.begin)
      fail_tensor("its shape needs " + std::to_string(bits / 8) + " bytes, its data_offsets span " +
                  std::to_string(entry_.end - entry_.begin));
  }

  const std::string& place_;
  HeaderScanner scan_;
  SafetensorsHeader& header_;
  bool metadata_seen_ = false;
  TensorEntry entry_;  // the tensor being read
  uint64_t elements_ = 1;
  bool elements_overflow_ = false;
};

void check_names(std::vector<TensorEntry>& entries, const std::string& place) {
  const auto by_name = [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; };
  std::sort(entries.begin(), entries.end(), by_name);
  const auto same = [](const TensorEntry& a, const TensorEntry& b) { return a.name == b.name; };
  const auto twice = std::adjacent_find(entries.begin(), entries.end(), same);
  if (twice != entries.end()) throw Error(place, shown_name(twice->name) + " is described twice");
}

void check_tiling(const std::vector<TensorEntry>& entries, uint64_t data_bytes, const std::string& place) {
  uint64_t reached = 0;
  for (const auto& entry : entries) {
    const auto fail = [&](const std::string& message) {
      throw Error(place, "tensor " + shown_name(entry.name) + ": " + message);
    };
    if (entry.begin > reached) fail("no tensor covers the bytes before it (a hole in the data)");
    if (entry.begin < reached) fail("its data overlaps that of another tensor");
    reached = entry.end;
  }
  if (reached > data_bytes)
    throw Error(place, "is cut short: the tensors need " + std::to_string(reached) +
                           " bytes of data, the file has " + std::to_string(data_bytes));
  if (reached < data_bytes)
    throw Error(place, std::to_string(data_bytes - reached) + " bytes after the last tensor belong to none");
}

}  // namespace

std::string shown_name(std::string_view name) {
  return "\"" + printable(name, 80) + "\"";
}

std::string_view header_text(std::span<const std::byte> bytes, const std::string& place) {
  uint64_t length = 0;
  if (bytes.size() < sizeof length)
    throw Error(place,
                "is " + std::to_string(bytes.size()) + " bytes long, too short for a safetensors file");
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeaderBytes)
    throw Error(place, "its header claims " + std::to_string(length) +
                           " bytes, above the format's limit of " + std::to_string(kMaxHeaderBytes) +
                           ": not a safetensors file");
  if (length > bytes.size() - sizeof length)
    throw Error(place, "its header claims " + std::to_string(length) + " bytes, more than the file has");
  return {reinterpret_cast<const char*>(bytes.data()) + sizeof length, length};
}

std::vector<int64_t> shape_of(const TensorEntry& entry, std::string_view json) {
  const std::string place;
  HeaderScanner scan(json, place, entry.shape_at);
  std::vector<int64_t> shape;
  scan.list([&] {
    uint64_t size = 0;
    scan.number(size);
    shape.push_back(static_cast<int64_t>(size));
  });
  return shape;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& place) {
  if (json.empty()) throw Error(place, "the header is empty");
  if (json.front() != '{') throw Error(place, "the header does not start with '{': not a safetensors file");
  if (json.find('\0') != std::string_view::npos) throw Error(place, "the header holds a NUL byte");
  if (const auto valid = valid_utf8_length(json); valid != json.size())
    throw Error(place, "the header is not valid UTF-8 near its byte " + std::to_string(valid + 1));
  SafetensorsHeader header;
  HeaderReader(json, place, header).read();
  check_names(header.entries, place);
  std::sort(header.entries.begin(), header.entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_tiling(header.entries, data_bytes, place);
  return header;
}

}  // namespace thalweg
