#include "pipelines/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace thalweg {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kRedraw = std::chrono::milliseconds(100);
constexpr double kWeight = 0.15;  // of the newest piece in the average, once there are some
constexpr int64_t kSmallestBar = 8, kLargestBar = 30;

double seconds_of(nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = environment(name);
    if (value.empty()) continue;
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

template <typename... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
  char text[96];
  std::snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

// 0:07, 12:34, 5:01:02, 3d 4h
std::string duration(double seconds) {
  const auto whole = static_cast<long long>(std::min(seconds, 1e9) + 0.5);
  const long long minutes = whole / 60, hours = minutes / 60;
  if (hours >= 48) return format("%lldd %lldh", hours / 24, hours % 24);
  if (hours > 0) return format("%lld:%02lld:%02lld", hours, minutes % 60, whole % 60);
  return format("%lld:%02lld", minutes, whole % 60);
}

// Columns of UTF-8 text without wide characters: its code points.
int64_t width_of(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

// Text from plugins and prompts must not steer the terminal.
std::string without_controls(std::string text, char allowed = ' ') {
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 || c == 0x7f) && c != allowed) c = ' ';
  return text;
}

std::string counter(int64_t done, int64_t total) {
  return total > 0 ? std::to_string(done) + "/" + std::to_string(total) : std::to_string(done);
}

std::string plain_values(const Progress::Values& values) {
  std::string text;
  for (const auto& [name, value] : values) text += "  " + name + " " + format("%.4g", value);
  return text;
}

}  // namespace

Progress::Output Progress::Output::detect(int descriptor) {
  Output output;
  output.descriptor = descriptor;
  const std::string kind = environment("TERM");
  output.terminal = ::isatty(output.descriptor) == 1 && !kind.empty() && kind != "dumb";
  output.utf8 = locale_is_utf8();
  output.colour = output.terminal && environment("NO_COLOR").empty();
  return output;
}

Progress::Progress(Output output, Clock clock) : output_(output), clock_(std::move(clock)) {
  if (!clock_) clock_ = [] { return nanoseconds(std::chrono::steady_clock::now().time_since_epoch()); };
}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {  // nothing is left to tell it to
  }
}

void Progress::update(const std::string& name, int64_t done, int64_t total, const Values& values) {
  const nanoseconds now = clock_();
  const auto [found, is_new] = phases_.try_emplace(name);
  Phase& phase = found->second;
  if (!is_new && done > phase.done) {
    const auto pieces = static_cast<double>(done - phase.done);
    phase.averaged += done - phase.done;
    const double weight =
        std::max(1.0 - std::pow(1.0 - kWeight, pieces), pieces / static_cast<double>(phase.averaged));
    phase.seconds += weight * (seconds_of(now - phase.counted_at) / pieces - phase.seconds);
  }
  if (is_new || done != phase.done) phase.counted_at = now;
  phase.done = done;
  phase.total = total;
  phase.values = values;
  current_ = name;
  pending_ = true;
  if (is_due(phase, is_new, now)) show(now);
}

bool Progress::is_due(const Phase& phase, bool is_new, nanoseconds now) const {
  if (is_new || shown_at_ == nanoseconds(0)) return true;
  if (now - shown_at_ >= (output_.terminal ? kRedraw : nanoseconds(output_.line_every))) return true;
  return !output_.terminal && phase.total > 0 && phase.done == phase.total;
}

void Progress::message(const std::string& line) {
  const std::string text = without_controls(line, '\n') + "\n";
  if (!line_open_) return write(text);
  write("\r\x1b[2K" + text);
  show(clock_());
}

void Progress::finish() {
  if (pending_) show(clock_());
  if (line_open_) write("\n");
  line_open_ = false;
  current_.clear();
  shown_at_ = nanoseconds(0);
}

void Progress::show(nanoseconds now) {
  if (current_.empty()) return;
  const Phase& phase = phases_.at(current_);
  if (output_.terminal) {
    write("\r\x1b[2K" + bar_line(phase, now));
    line_open_ = true;
  } else {
    const std::string rate = pace(phase, now);
    write(without_controls(current_ + " " + counter(phase.done, phase.total) + plain_values(phase.values) +
                           (rate.empty() ? "" : "  " + rate)) +
          "\n");
  }
  shown_at_ = now;
  pending_ = false;
}

std::string Progress::pace(const Phase& phase, nanoseconds now) const {
  if (phase.averaged == 0 || phase.seconds <= 0.0) return "";
  std::string text =
      phase.seconds >= 1.0 ? format("%.3g s/it", phase.seconds) : format("%.3g it/s", 1.0 / phase.seconds);
  if (phase.total > phase.done) {
    const double left = static_cast<double>(phase.total - phase.done) * phase.seconds;
    text += "  ETA " + duration(std::max(0.0, left - seconds_of(now - phase.counted_at)));
  }
  return text;
}

// Phase, bar, counter, values, pace: what does not fit is left out, values from the last on, then the bar.
std::string Progress::bar_line(const Phase& phase, nanoseconds now) const {
  const int64_t room = std::max<int64_t>(columns() - 1, 1);
  const std::string head = without_controls(current_);
  const std::string count = counter(phase.done, phase.total);
  const std::string rate = pace(phase, now);
  std::string tail = count + (rate.empty() ? "" : "  " + rate);
  if (width_of(head) + 1 + width_of(tail) > room) tail = count;
  Values shown = phase.values;
  // The bar's width depends on the terminal's alone: it must not jump when a number gets longer.
  const int64_t cells = std::clamp(room / 4, kSmallestBar, kLargestBar);
  const bool has_bar = phase.total > 0 && width_of(head) + width_of(tail) + cells + 4 <= room;
  const int64_t fixed = width_of(head) + width_of(tail) + (has_bar ? cells + 4 : 1);
  while (!shown.empty() && fixed + width_of(plain_values(shown)) > room) shown.pop_back();
  tail.insert(count.size(), without_controls(plain_values(shown)));
  if (!has_bar) {
    std::string line = head + " " + tail;
    if (width_of(line) > room) line.resize(static_cast<size_t>(room));
    return line;
  }
  const double fraction = static_cast<double>(phase.done) / static_cast<double>(phase.total);
  return head + " " + bar(std::clamp(fraction, 0.0, 1.0), cells) + " " + tail;
}

// `cells` wide, plus two for the ends.
std::string Progress::bar(double fraction, int64_t cells) const {
  std::string text;
  if (!output_.utf8) {
    const auto full = static_cast<size_t>(fraction * static_cast<double>(cells));
    return "[" + std::string(full, '#') + std::string(static_cast<size_t>(cells) - full, '.') + "]";
  }
  static const char* const kEighths[] = {" ",      "\u258f", "\u258e", "\u258d",
                                         "\u258c", "\u258b", "\u258a", "\u2589"};
  const auto eighths = static_cast<int64_t>(fraction * static_cast<double>(cells) * 8.0);
  for (int64_t cell = 0; cell < cells; ++cell) {
    const int64_t filled = std::clamp<int64_t>(eighths - 8 * cell, 0, 8);
    text += filled == 8 ? "\u2588" : kEighths[filled];
  }
  if (output_.colour) text = "\x1b[36m" + text + "\x1b[0m";
  return "\u2595" + text + "\u258f";
}

int64_t Progress::columns() const {
  if (output_.columns > 0) return output_.columns;
  winsize size{};
  if (::ioctl(output_.descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// A reader that went away must not end the job: what cannot be written is dropped.
void Progress::write(const std::string& text) const {
  const char* bytes = text.data();
  size_t left = text.size();
  while (left > 0) {
    const ssize_t written = ::write(output_.descriptor, bytes, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes += written;
    left -= static_cast<size_t>(written);
  }
}

}  // namespace thalweg
