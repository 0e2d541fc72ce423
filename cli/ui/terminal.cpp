// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace pollard::cli {
namespace {

constexpr int default_width = 80;
constexpr int narrowest = 20;
constexpr int widest = 1000;

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view(value);
}

int columns_variable() {
  const std::string_view text = environment("COLUMNS");
  int columns = 0;
  std::from_chars(text.data(), text.data() + text.size(), columns);
  return columns;
}

int window_width(int file_descriptor) {
  winsize size{};
  return ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace

Terminal detect_terminal(int file_descriptor) {
  Terminal terminal{.tty = isatty(file_descriptor) != 0, .width = default_width};
  for (const int width : {columns_variable(), terminal.tty ? window_width(file_descriptor) : 0}) {
    if (width < narrowest) continue;
    terminal.width = std::min(width, widest);
    break;
  }
  return terminal;
}

bool use_color(ColorMode mode, const Terminal& terminal) {
  if (mode != ColorMode::Auto) return mode == ColorMode::Always;
  return terminal.tty && environment("NO_COLOR").empty() && environment("TERM") != "dumb";
}

}  // namespace pollard::cli
