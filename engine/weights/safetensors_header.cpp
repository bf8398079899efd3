#include "engine/weights/safetensors_header.h"

#include <algorithm>
#include <limits>

#include "engine/core/error.h"
#include "engine/weights/header_events.h"

namespace thalweg {
namespace {

/// Bytes of `entry` as its dtype and shape say. Every product is checked, also where a later size is 0.
uint64_t bytes_of(const TensorEntry& entry, const std::string& place) {
  const auto fail = [&](const std::string& message) {
    throw Error(place, "tensor " + shown_name(entry.name) + ": " + message);
  };
  uint64_t bits = 1;
  for (const auto size : entry.shape)
    if (__builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits))
      fail("the product of its shape overflows");
  if (__builtin_mul_overflow(bits, entry.dtype->bits, &bits)) fail("its shape needs more than 2^64 bits");
  if (bits % 8 != 0) fail("its elements of " + std::to_string(entry.dtype->bits) + " bits end within a byte");
  return bits / 8;
}

void check_spans(const SafetensorsHeader& header, uint64_t data_bytes, const std::string& place) {
  uint64_t reached = 0;
  for (const auto& entry : header.entries) {
    const auto fail = [&](const std::string& message) {
      throw Error(place, "tensor " + shown_name(entry.name) + ": " + message);
    };
    if (entry.begin > entry.end) fail("its data_offsets end before they begin");
    if (entry.begin > reached) fail("no tensor covers the bytes before it (a hole in the data)");
    if (entry.begin < reached) fail("its data overlaps that of another tensor");
    const auto needed = bytes_of(entry, place);
    if (needed != entry.end - entry.begin)
      fail("its shape needs " + std::to_string(needed) + " bytes, its data_offsets span " +
           std::to_string(entry.end - entry.begin));
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
  constexpr size_t kShown = 80;
  std::string text(name.substr(0, kShown));
  // A cut in the middle of a character would make the message invalid UTF-8.
  if (name.size() > kShown)
    while (!text.empty() && (static_cast<unsigned char>(name[text.size()]) & 0xC0) == 0x80) text.pop_back();
  for (auto& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return "\"" + text + (name.size() > text.size() ? "...\"" : "\"");
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& place) {
  if (json.empty()) throw Error(place, "the header is empty");
  if (json.front() != '{') throw Error(place, "the header does not start with '{': not a safetensors file");
  // The JSON lexer takes a NUL for the end and would not look behind it.
  if (json.find('\0') != std::string_view::npos) throw Error(place, "the header holds a NUL byte");
  SafetensorsHeader header;
  HeaderEvents events(header, place);
  Json::sax_parse(json.begin(), json.end(), &events);
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const TensorEntry& a, const TensorEntry& b) {
                     return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
                   });
  check_spans(header, data_bytes, place);
  return header;
}

}  // namespace thalweg
