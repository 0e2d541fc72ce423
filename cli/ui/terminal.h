// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace pollard::cli {

enum class ColorMode { Auto, Always, Never };

/// What an output stream is connected to.
struct Terminal {
  bool tty = false;
  int width = 80;  ///< columns
};

/// Width: COLUMNS when it is a number of at least 20, else the terminal's own, else 80.
Terminal detect_terminal(int file_descriptor);

/// `--color` decides; Auto means a terminal that is not "dumb", with NO_COLOR unset or empty (no-color.org).
bool use_color(ColorMode mode, const Terminal& terminal);

}  // namespace pollard::cli
