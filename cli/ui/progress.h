// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>

namespace pollard::cli {

/// How far a long step has come, on stderr. On a terminal one line that is redrawn at most ten times a second
/// and removed at the end; elsewhere one line for each tenth. Nothing appears in the first half second, so quick
/// steps stay silent.
class Progress {
 public:
  using Clock = std::function<double()>;  ///< seconds, monotonic
  struct Options {
    bool enabled = true;
    bool tty = false;
    int width = 80;
    std::string unit;  ///< what is counted: "groups", "images"
    Clock clock;       ///< steady clock when empty
  };

  Progress(std::ostream& err, std::string label, std::int64_t total, Options options);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::int64_t done);
  void advance(std::int64_t steps = 1) { update(done_ + steps); }
  /// Removes the bar. Called by the destructor.
  void finish();

 private:
  std::string figures(double elapsed) const;
  void draw_bar(double elapsed);
  void log_tenth(double elapsed);

  std::ostream& err_;
  std::string label_;
  std::int64_t total_, done_ = 0;
  Options options_;
  double start_, last_drawn_;
  int last_tenth_ = 0;
  bool visible_ = false;
};

}  // namespace pollard::cli
