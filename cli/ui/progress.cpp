// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ostream>

#include "cli/ui/format.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

constexpr double quiet_seconds = 0.5;
constexpr double redraw_seconds = 0.1;
constexpr int widest_bar = 28;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string bar(double fraction, int width) {
  const int filled = static_cast<int>(fraction * width);
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(width - filled), '-');
}

}  // namespace

Progress::Progress(std::ostream& err, std::string label, std::int64_t total, Options options)
    : err_(err),
      label_(printable(label)),
      total_(std::max<std::int64_t>(total, 1)),
      options_(std::move(options)) {
  if (!options_.clock) options_.clock = steady_seconds;
  start_ = options_.clock();
  last_drawn_ = start_ - redraw_seconds;
}

Progress::~Progress() { finish(); }

void Progress::update(std::int64_t done) {
  done_ = std::min(done, total_);
  if (!options_.enabled) return;
  const double now = options_.clock();
  if (now - start_ < quiet_seconds) return;
  if (!options_.tty) return log_tenth(now - start_);
  if (now - last_drawn_ < redraw_seconds) return;
  last_drawn_ = now;
  draw_bar(now - start_);
}

void Progress::finish() {
  if (visible_) err_ << "\r\033[K" << std::flush;
  visible_ = false;
}

std::string Progress::figures(double elapsed) const {
  const double rate = elapsed > 0 ? static_cast<double>(done_) / elapsed : 0.0;
  std::string text = fmt::format("{}/{}", done_, total_);
  if (!options_.unit.empty()) text += " " + options_.unit;
  if (rate <= 0) return text;
  text += fmt::format("  {}/s", rate >= 10 ? format_short(rate) : format_fixed(rate, 2));
  if (done_ >= total_) return text;
  return text + "  " + format_seconds(static_cast<double>(total_ - done_) / rate) + " left";
}

void Progress::draw_bar(double elapsed) {
  const std::string numbers = figures(elapsed);
  const int room = options_.width - 1 - display_width(label_) - display_width(numbers) - 4;
  std::string line = label_ + "  ";
  const double fraction = static_cast<double>(done_) / static_cast<double>(total_);
  if (room >= 5) line += bar(fraction, std::min(room, widest_bar)) + "  ";
  err_ << "\r\033[K" << cut_end(line + numbers, options_.width - 1) << std::flush;
  visible_ = true;
}

void Progress::log_tenth(double elapsed) {
  const int tenth = static_cast<int>(10 * done_ / total_);
  if (tenth <= last_tenth_) return;
  last_tenth_ = tenth;
  err_ << fmt::format("{}  {} %  {}\n", label_, 10 * tenth, figures(elapsed)) << std::flush;
}

}  // namespace pollard::cli
