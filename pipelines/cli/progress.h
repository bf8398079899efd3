// What a user sees while a job runs: one redrawn line on a terminal, plain lines in a pipe or a log file.
// The only printer of a run.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace thalweg {

class Progress {
 public:
  using Values = std::vector<std::pair<std::string, double>>;
  using Clock = std::function<std::chrono::nanoseconds()>;

  /// What the output can do. Programs take detect(); tests make their own.
  struct Output {
    int descriptor = 1;
    bool terminal = false;
    bool utf8 = false;
    bool colour = false;
    int64_t columns = 0;                         ///< 0 = ask the terminal before each line
    std::chrono::milliseconds line_every{2000};  ///< in a pipe: the least time between two lines

    /// Asks the system about a descriptor. TERM=dumb, NO_COLOR and the locale (LC_ALL, LC_CTYPE, LANG)
    /// are honoured.
    static Output detect(int descriptor = 1);
  };

  explicit Progress(Output output = Output::detect(), Clock clock = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` pieces of `phase` are finished; `total` 0 = unknown. Values are shown as "name 0.123"
  /// while there is room. A terminal is redrawn at most ten times a second. In a pipe a line appears for
  /// the first update of a phase, for its last piece, and else each `line_every`. Speed and time left come
  /// from a moving average of the phase's own pieces.
  void update(const std::string& phase, int64_t done, int64_t total, const Values& values = {});

  /// A line that stays: notes, warnings, where the results are.
  void message(const std::string& line);

  /// Leaves the last state on the screen and ends its line. Done by the destructor too.
  void finish();

 private:
  struct Phase {
    int64_t done = 0;
    int64_t total = 0;
    Values values;
    std::chrono::nanoseconds counted_at{0};  // when `done` last moved
    int64_t averaged = 0;                    // pieces in the average
    double seconds = 0.0;                    // a piece, moving average
  };

  bool is_due(const Phase& phase, bool is_new, std::chrono::nanoseconds now) const;
  void show(std::chrono::nanoseconds now);
  std::string pace(const Phase& phase, std::chrono::nanoseconds now) const;
  std::string bar_line(const Phase& phase, std::chrono::nanoseconds now) const;
  std::string bar(double fraction, int64_t cells) const;
  int64_t columns() const;
  void write(const std::string& text) const;

  Output output_;
  Clock clock_;
  std::map<std::string, Phase> phases_;
  std::string current_;  // name of the phase on the screen
  std::chrono::nanoseconds shown_at_{0};
  bool pending_ = false;    // an update was not shown
  bool line_open_ = false;  // the cursor stands in our line
};

}  // namespace thalweg
