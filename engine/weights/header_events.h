// The syntax of a safetensors header as a JSON event handler. Private to safetensors_header.cpp.
#pragma once

#include <string>
#include <unordered_set>

#include "engine/core/json.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {

/// Collects entries and metadata; throws Error at the first event that the format does not allow. Offsets and
/// shapes are taken as they are: their meaning is checked afterwards.
class HeaderEvents : public nlohmann::json_sax<Json> {
 public:
  HeaderEvents(SafetensorsHeader& header, const std::string& place) : header_(header), place_(place) {}

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a boolean"); }
  bool number_integer(int64_t) override;
  bool number_unsigned(uint64_t value) override;
  bool number_float(double, const std::string&) override;
  bool string(std::string& value) override;
  bool binary(Json::binary_t&) override { return refuse("binary data"); }
  bool start_object(size_t) override;
  bool key(std::string& name) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override;

 private:
  enum class At { outside, top, metadata, tensor, shape, offsets };
  enum Seen : unsigned { kDtype = 1, kShape = 2, kOffsets = 4 };

  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] bool refuse(const std::string& what) const;
  std::string subject() const;
  void tensor_field(const std::string& name);

  SafetensorsHeader& header_;
  const std::string& place_;
  std::unordered_set<std::string> names_;
  At at_ = At::outside;
  std::string key_;     // the last key at the present level
  unsigned seen_ = 0;   // fields of the present tensor
  size_t offsets_ = 0;  // numbers read into its data_offsets
};

}  // namespace thalweg
