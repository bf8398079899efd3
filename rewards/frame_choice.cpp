#include "rewards/frame_choice.h"

#include <string>
#include <utility>

namespace thalweg {
namespace {

using Frames = FrameChoice::Frames;
using Over = FrameChoice::Over;

constexpr std::pair<Frames, const char*> kFrames[] = {
    {Frames::whole, ""}, {Frames::all, "all"}, {Frames::first, "first"}, {Frames::every, "every"}};
constexpr std::pair<Over, const char*> kOver[] = {{Over::mean, "mean"}, {Over::minimum, "minimum"}};

template <class Names, class Value>
std::string name_of(const Names& names, Value value) {
  for (const auto& [each, name] : names)
    if (each == value) return name;
  return "";
}

template <class Names, class Value>
void read_name(const Names& names, const std::string& given, Value& value) {
  for (const auto& [each, name] : names)
    if (given == name) value = each;
}

void describe_over(Fields& fields, FrameChoice& choice) {
  auto name = name_of(kOver, choice.over_frames);
  fields.choice({"over_frames",
                 "the video's value of its frames': their mean, or the lowest; where one is not scored, "
                 "neither is the video"},
                name, {"mean", "minimum"});
  read_name(kOver, name, choice.over_frames);
}

void describe_interval(Fields& fields, FrameChoice& choice) {
  int64_t interval = choice.interval;
  fields.integer({"frame_interval", "frames 0, frame_interval, 2 frame_interval and so on"}, interval, 1,
                 UINT16_MAX);
  choice.interval = static_cast<uint16_t>(interval);
}

}  // namespace

std::vector<int64_t> FrameChoice::chosen(int64_t count) const {
  if (frames == Frames::first) return {0};
  std::vector<int64_t> some;
  for (int64_t f = 0; f < count; f += frames == Frames::every ? interval : 1) some.push_back(f);
  return some;
}

void describe(Fields& fields, FrameChoice& choice) {
  const auto nothing = [](Fields&) {};
  auto name = name_of(kFrames, choice.frames);
  fields.variant({"frames", "what the reward sees of a video; the whole when empty"}, name,
                 {{"", "videos as they are", nothing},
                  {"all", "each frame as a picture", [&](Fields& f) { describe_over(f, choice); }},
                  {"first", "the first frame as a picture", nothing},
                  {"every", "some frames, each as a picture", [&](Fields& f) {
                     describe_interval(f, choice);
                     describe_over(f, choice);
                   }}});
  read_name(kFrames, name, choice.frames);
}

}  // namespace thalweg
