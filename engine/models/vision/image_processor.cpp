#include "engine/models/vision/image_processor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostSide = 16384;
constexpr int64_t kKeepSize = -1;  // shortest_edge without do_resize
constexpr const char* kFile = "preprocessor_config.json";
constexpr const char* kJointFile = "processor_config.json";  // transformers 5 can keep all in one

/// Keys of the file that change nothing here: names of classes, layouts of the peer's arrays.
bool says_nothing(const std::string& key) {
  static const std::set<std::string> keys = {"image_processor_type",
                                             "feature_extractor_type",
                                             "processor_class",
                                             "data_format",
                                             "input_data_format",
                                             "return_tensors",
                                             "default_to_square",
                                             "do_convert_rgb",
                                             "disable_grouping",
                                             "device",
                                             "use_fast",
                                             "backend"};
  return key.starts_with("_") || keys.contains(key);
}

void refuse_other_keys(const Json& json, const fs::path& path) {
  static const std::set<std::string> read = {"do_resize",  "size",       "resample",       "do_center_crop",
                                             "crop_size",  "do_rescale", "rescale_factor", "do_normalize",
                                             "image_mean", "image_std"};
  for (const auto& [key, value] : json.items())
    if (!read.contains(key) && !says_nothing(key) && !value.is_null() && value != false)
      throw Error(path.string(), "\"" + key + "\" is not supported here");
}

/// {"height": S, "width": S}, or the number alone that older files hold; none for another form.
std::optional<int64_t> square(const Json& json, const std::string& key, const fs::path& path) {
  const auto& value = json.at(key);
  if (value.is_number()) return config_integer(json, key, 0, 1, kMostSide, path);
  if (!value.is_object() || value.size() != 2 || !value.contains("height") || !value.contains("width"))
    return std::nullopt;
  const auto height = config_integer(value, "height", 0, 1, kMostSide, path);
  if (config_integer(value, "width", 0, 1, kMostSide, path) != height)
    throw Error(path.string(), "\"" + key + "\": height and width must be equal");
  return height;
}

bool given(const Json& json, const std::string& key) {
  const auto it = json.find(key);
  return it != json.end() && !it->is_null();
}

void read_sizes(const Json& json, const fs::path& path, ImageProcessorConfig& c) {
  const bool crops = config_bool(json, "do_center_crop", true, path);
  if (given(json, "crop_size")) {
    const auto side = square(json, "crop_size", path);
    if (!side) throw Error(path.string(), "\"crop_size\" must be a number or {\"height\": S, \"width\": S}");
    c.side = *side;
  }
  if (!config_bool(json, "do_resize", true, path)) {
    c.shortest_edge = kKeepSize;
  } else if (given(json, "size")) {
    const auto& size = json.at("size");
    if (size.is_number()) {
      c.shortest_edge = config_integer(json, "size", 0, 1, kMostSide, path);
    } else if (size.is_object() && size.size() == 1 && size.contains("shortest_edge")) {
      c.shortest_edge = config_integer(size, "shortest_edge", 0, 1, kMostSide, path);
    } else if (const auto side = square(json, "size", path)) {
      if (crops && *side != c.side)
        throw Error(path.string(), "\"size\" and \"crop_size\" must be equal where \"size\" is a square");
      c.shortest_edge = 0;
      c.side = *side;
      return;
    } else {
      throw Error(
          path.string(),
          R"("size" must be {"shortest_edge": N} or {"height": S, "width": S}; nothing else is done)");
    }
  }
  if (!crops)
    throw Error(path.string(),
                "\"do_center_crop\" must be true unless \"size\" is a square: a tower takes one size only");
}

ResampleFilter read_filter(const Json& json, const fs::path& path) {
  switch (config_integer(json, "resample", 3, 0, 5, path)) {
    case 1:
      return ResampleFilter::lanczos;
    case 2:
      return ResampleFilter::bilinear;
    case 3:
      return ResampleFilter::bicubic;
    default:
      throw Error(path.string(),
                  "\"resample\" must be 1 (lanczos), 2 (bilinear) or 3 (bicubic); others are not supported");
  }
}

void read_channels(const Json& json, const std::string& key, double low, std::array<double, 3>& values,
                   const fs::path& path) {
  if (!given(json, key)) return;
  const auto& list = json.at(key);
  const bool numbers =
      list.is_array() && list.size() == 3 && std::all_of(list.begin(), list.end(), [&](const Json& v) {
        return v.is_number() && v.get<double>() >= low && v.get<double>() <= 1e6;
      });
  if (!numbers)
    throw Error(path.string(), "\"" + key + "\" must be three numbers from " + Json(low).dump() + " on");
  for (size_t c = 0; c < 3; ++c) values[c] = list[c].get<double>();
}

/// How one side of a picture becomes the result's: resized to `axis.to` samples, of which axis.begin to
/// axis.end are kept, between `before` and `after` samples of black.
struct Side {
  ResampleAxis axis;
  int64_t before = 0, after = 0;
};

Side plan(int64_t from, int64_t to, int64_t wanted, bool to_even) {
  if (to < wanted) {
    const int64_t before = (wanted - to + 1) / 2;
    return {{from, to, 0, to}, before, wanted - to - before};
  }
  int64_t begin = (to - wanted) / 2;
  if (to_even && (to - wanted) % 2 == 1 && begin % 2 == 1) ++begin;
  return {{from, to, begin, begin + wanted}, 0, 0};
}

struct Plan {
  Side rows, columns;
};

/// The whole of it, in the middle; the odd sample of black is behind.
Side letterbox(int64_t from, int64_t longer, int64_t wanted) {
  const double scale = static_cast<double>(wanted) / static_cast<double>(longer);
  const auto to = std::max<int64_t>(1, std::llrint(static_cast<double>(from) * scale));
  const int64_t before = (wanted - to) / 2;
  return {{from, to, 0, to}, before, wanted - to - before};
}

void check_picture(const at::Tensor& frame_3HW) {
  TORCH_CHECK(frame_3HW.dim() == 3 && frame_3HW.size(0) == 3 && frame_3HW.numel() > 0);
}

Plan letterbox(const at::Tensor& frame_3HW, int64_t side) {
  check_picture(frame_3HW);
  const int64_t height = frame_3HW.size(1), width = frame_3HW.size(2), longer = std::max(height, width);
  return {letterbox(height, longer, side), letterbox(width, longer, side)};
}

Plan plan(const ImageProcessorConfig& c, const at::Tensor& frame_3HW) {
  check_picture(frame_3HW);
  const int64_t height = frame_3HW.size(1), width = frame_3HW.size(2), shorter = std::min(height, width);
  const auto resized = [&](int64_t length) {
    if (c.shortest_edge == kKeepSize) return length;
    return c.shortest_edge == 0 ? c.side : c.shortest_edge * length / shorter;
  };
  return {plan(height, resized(height), c.side, c.crops_to_even),
          plan(width, resized(width), c.side, c.crops_to_even)};
}

at::Tensor padded(const at::Tensor& picture_CHW, const Plan& plan) {
  return at::constant_pad_nd(picture_CHW,
                             {plan.columns.before, plan.columns.after, plan.rows.before, plan.rows.after}, 0);
}

/// Without rounding, and then rescaled as the file says of levels.
at::Tensor in_floats(const ImageProcessorConfig& c, const at::Tensor& frame_3HW, const Plan& how) {
  const auto resized = padded(resample(frame_3HW, c.filter, how.rows.axis, how.columns.axis), how);
  return resized * (255.0 * c.rescale_factor);
}

at::Tensor channels(const std::array<double, 3>& values) {
  return at::tensor(at::ArrayRef<double>(values), at::kFloat).view({3, 1, 1});
}

}  // namespace

ImageProcessor ImageProcessor::load(const fs::path& folder) {
  if (const auto path = folder / kFile; fs::is_regular_file(path))
    return ImageProcessor(parse(parse_json_file(path), path));
  const auto path = folder / kJointFile;
  if (!fs::is_regular_file(path))
    throw Error(folder.string(), std::string("has no ") + kFile +
                                     "; save the processor beside the model: "
                                     "CLIPProcessor.save_pretrained(folder)");
  const auto json = parse_json_file(path);
  if (!json.is_object() || !json.contains("image_processor"))
    throw Error(path.string(), "has no \"image_processor\"");
  return ImageProcessor(parse(json.at("image_processor"), path));
}

ImageProcessorConfig ImageProcessor::parse(const Json& json, const fs::path& path) {
  if (!json.is_object()) throw Error(path.string(), "must be a JSON object");
  refuse_other_keys(json, path);
  Config c;
  read_sizes(json, path, c);
  c.filter = read_filter(json, path);
  c.rescale_factor = config_number(json, "rescale_factor", c.rescale_factor, 1e-9, 1e3, path);
  if (!config_bool(json, "do_rescale", true, path)) c.rescale_factor = 1.0;
  read_channels(json, "image_mean", -1e6, c.mean, path);
  read_channels(json, "image_std", 1e-6, c.std, path);
  if (!config_bool(json, "do_normalize", true, path)) {
    c.mean.fill(0.0);
    c.std.fill(1.0);
  }
  return c;
}

at::Tensor ImageProcessor::normalized(const at::Tensor& levels_3SS) const {
  return (levels_3SS - channels(config_.mean)) / channels(config_.std);
}

at::Tensor ImageProcessor::exact(const at::Tensor& frame_3HW) const {
  const auto how = plan(config_, frame_3HW);
  const auto levels = at::clamp(at::round(frame_3HW * 255.0), 0, 255).to(at::kByte);
  const auto resized = padded(resample_8bit(levels, config_.filter, how.rows.axis, how.columns.axis), how);
  // The peer multiplies in float64 and then takes float32.
  return normalized((resized.to(at::kDouble) * config_.rescale_factor).to(at::kFloat));
}

at::Tensor ImageProcessor::smooth(const at::Tensor& frame_3HW) const {
  return normalized(in_floats(config_, frame_3HW, plan(config_, frame_3HW)));
}

at::Tensor ImageProcessor::letterboxed(const at::Tensor& frame_3HW) const {
  return normalized(in_floats(config_, frame_3HW, letterbox(frame_3HW, config_.side)));
}

}  // namespace thalweg
