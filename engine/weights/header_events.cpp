#include "engine/weights/header_events.h"

#include <limits>

#include "engine/core/error.h"

namespace thalweg {
namespace {

constexpr const char* kMetadataKey = "__metadata__";

}  // namespace

void HeaderEvents::fail(const std::string& message) const {
  throw Error(place_, message);
}

std::string HeaderEvents::subject() const {
  return "tensor " + shown_name(header_.entries.back().name);
}

bool HeaderEvents::refuse(const std::string& what) const {
  switch (at_) {
    case At::outside:
      fail("the header is " + what + ", not a JSON object");
    case At::top:
      if (key_ == kMetadataKey) fail("__metadata__ is " + what + ", not an object of texts");
      fail("tensor " + shown_name(key_) + " is described by " + what + ", not by an object");
    case At::metadata:
      fail("__metadata__ holds " + what + " at " + shown_name(key_) + ": only texts are allowed");
    case At::tensor:
      fail(subject() + ": " + key_ + " is " + what);
    case At::shape:
      fail(subject() + ": its shape holds " + what + ", not a whole number from 0");
    case At::offsets:
      fail(subject() + ": its data_offsets hold " + what + ", not a whole number from 0");
  }
  fail("the header is not understood");
}

bool HeaderEvents::number_integer(int64_t) {
  return refuse("a negative number");
}

bool HeaderEvents::number_float(double, const std::string&) {
  return refuse("a fraction or too large a number");
}

bool HeaderEvents::number_unsigned(uint64_t value) {
  if (at_ != At::shape && at_ != At::offsets) return refuse("a number");
  auto& entry = header_.entries.back();
  if (at_ == At::offsets) {
    if (offsets_ == 2) fail(subject() + ": data_offsets has more than two numbers");
    (offsets_++ == 0 ? entry.begin : entry.end) = value;
    return true;
  }
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    fail(subject() + ": a size of its shape is above 2^63 - 1");
  if (entry.shape.size() == kMaxDimensions)
    fail(subject() + ": more than " + std::to_string(kMaxDimensions) + " dimensions");
  entry.shape.push_back(static_cast<int64_t>(value));
  return true;
}

bool HeaderEvents::string(std::string& value) {
  if (at_ == At::metadata) {
    header_.metadata[key_] = value;
    return true;
  }
  if (at_ != At::tensor || key_ != "dtype") return refuse("a text");
  header_.entries.back().dtype = find_stored_dtype(value);
  if (!header_.entries.back().dtype) fail(subject() + ": the format has no dtype " + shown_name(value));
  return true;
}

bool HeaderEvents::start_object(size_t) {
  if (at_ == At::outside) {
    at_ = At::top;
  } else if (at_ == At::top && key_ == kMetadataKey) {
    at_ = At::metadata;
  } else if (at_ == At::top) {
    at_ = At::tensor;
    seen_ = 0;
    header_.entries.push_back({key_, nullptr, {}, 0, 0});
  } else {
    return refuse("an object");
  }
  return true;
}

bool HeaderEvents::key(std::string& name) {
  key_ = name;
  if (at_ == At::top) {
    if (!names_.insert(name).second) fail(shown_name(name) + " is described twice");
  } else if (at_ == At::metadata) {
    if (header_.metadata.count(name)) fail("__metadata__ gives " + shown_name(name) + " twice");
    header_.metadata[name];
  } else {
    tensor_field(name);
  }
  return true;
}

void HeaderEvents::tensor_field(const std::string& name) {
  unsigned field = 0;
  if (name == "dtype") field = kDtype;
  if (name == "shape") field = kShape;
  if (name == "data_offsets") field = kOffsets;
  if (field == 0) fail(subject() + ": the format has no field " + shown_name(name));
  if (seen_ & field) fail(subject() + ": " + name + " is given twice");
  seen_ |= field;
}

bool HeaderEvents::end_object() {
  if (at_ == At::tensor) {
    if (!(seen_ & kDtype)) fail(subject() + ": dtype is missing");
    if (!(seen_ & kShape)) fail(subject() + ": shape is missing");
    if (!(seen_ & kOffsets)) fail(subject() + ": data_offsets is missing");
  }
  at_ = at_ == At::top ? At::outside : At::top;
  return true;
}

bool HeaderEvents::start_array(size_t) {
  if (at_ != At::tensor || (key_ != "shape" && key_ != "data_offsets")) return refuse("a list");
  at_ = key_ == "shape" ? At::shape : At::offsets;
  offsets_ = 0;
  return true;
}

bool HeaderEvents::end_array() {
  if (at_ == At::offsets && offsets_ != 2)
    fail(subject() + ": data_offsets has " + std::to_string(offsets_) + " numbers, not two");
  at_ = At::tensor;
  return true;
}

bool HeaderEvents::parse_error(size_t position, const std::string&,
                               const nlohmann::detail::exception& error) {
  // nlohmann's own text quotes the input: bytes that are not UTF-8 must not reach a terminal.
  const bool utf8 = std::string_view(error.what()).find("UTF-8") == std::string_view::npos;
  fail(std::string("the header is not ") + (utf8 ? "valid JSON" : "valid UTF-8") + " near its byte " +
       std::to_string(position));
}

}  // namespace thalweg
