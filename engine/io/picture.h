// Pictures from outside: PNG and JPEG, told apart by their first bytes, whatever the file's ending.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace thalweg {

/// decode_png(), or a JPEG file to the same form: grey or RGB, baseline or progressive, turned upright as its
/// EXIF part says. Sizes keep to kMaxReadPixels and are checked before anything is decoded. Throws
/// Error(place, ...) for what is neither, or not whole.
at::Tensor decode_picture(std::string_view bytes, const std::string& place);

/// decode_picture of a file. Throws Error naming the path.
at::Tensor read_picture(const std::filesystem::path& path);

}  // namespace thalweg
