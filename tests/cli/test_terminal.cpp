// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/ui/terminal.h"
#include "tests/cli/support/run_cli.h"

namespace pollard::cli {
namespace {

using test::ScopedVariable;

constexpr Terminal screen{.tty = true, .width = 80};
constexpr Terminal pipe_end{.tty = false, .width = 80};

TEST(Terminal, AutoColoursOnlyTerminals) {
  const ScopedVariable kind("TERM", "xterm");
  EXPECT_TRUE(use_color(ColorMode::Auto, screen));
  EXPECT_FALSE(use_color(ColorMode::Auto, pipe_end));
  EXPECT_TRUE(use_color(ColorMode::Always, pipe_end));
  EXPECT_FALSE(use_color(ColorMode::Never, screen));
}

TEST(Terminal, NoColorAndDumbTerminalsTurnAutoOff) {
  {
    const ScopedVariable kind("TERM", "dumb");
    EXPECT_FALSE(use_color(ColorMode::Auto, screen));
  }
  const ScopedVariable kind("TERM", "xterm");
  const ScopedVariable no_color("NO_COLOR", "1");
  EXPECT_FALSE(use_color(ColorMode::Auto, screen));
  EXPECT_TRUE(use_color(ColorMode::Always, screen));
}

TEST(Terminal, ColumnsVariableSetsTheWidth) {
  {
    const ScopedVariable columns("COLUMNS", "123");
    EXPECT_EQ(detect_terminal(STDOUT_FILENO).width, 123);
  }
  const ScopedVariable columns("COLUMNS", "wide");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(detect_terminal(ends[1]).width, 80);
  EXPECT_FALSE(detect_terminal(ends[1]).tty);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace pollard::cli
