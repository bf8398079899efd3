// TensorBoard event files: TFRecord framing (length, masked CRC32C, data, masked CRC32C) around Event
// protobufs (tensorflow/core/util/event.proto, framework/summary.proto), encoded by hand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/file.h"

namespace thalweg {

/// One TFRecord around `data`.
std::string frame_record(std::string_view data);

/// Appends events to a new file `events.out.tfevents.<seconds>.thalweg` in `directory` (which must exist).
/// An event is in the system's hands when the call returns. Every call throws Error naming the path when
/// the file cannot be written.
class EventWriter {
 public:
  /// `resumed_from`: TensorBoard then drops what earlier files hold at this step and above.
  explicit EventWriter(const std::filesystem::path& directory, std::optional<int64_t> resumed_from = {});

  void scalar(const std::string& tag, int64_t step, double value);
  void image(const std::string& tag, int64_t step, std::string_view png, int64_t width, int64_t height);

  /// Waits until everything is on the disk.
  void flush();

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  void event(int64_t step, uint32_t field, std::string_view payload);

  AppendFile file_;
};

}  // namespace thalweg
