// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "cli/ui/progress.h"

namespace pollard::cli {
namespace {

struct Session {
  std::ostringstream err;
  double now = 0;
  Progress start(bool tty, bool enabled = true, std::int64_t total = 100) {
    return {err,
            "score",
            total,
            {.enabled = enabled, .tty = tty, .width = 60, .unit = "groups", .clock = [this] { return now; }}};
  }
  void work(Progress& progress, int steps, double seconds_each) {
    for (int i = 0; i < steps; ++i) {
      now += seconds_each;
      progress.advance();
    }
  }
};

TEST(Progress, QuickStepsStaySilent) {
  for (const bool tty : {true, false}) {
    Session run;
    {
      Progress progress = run.start(tty);
      run.work(progress, 100, 0.004);
    }
    EXPECT_EQ(run.err.str(), "");
  }
}

TEST(Progress, TerminalShowsBarRateAndTimeLeft) {
  Session run;
  Progress progress = run.start(true);
  run.now = 2;
  progress.update(50);
  EXPECT_EQ(run.err.str(), "\r\033[Kscore  #########---------  50/100 groups  25/s  2.00 s left");
}

TEST(Progress, TerminalIsRedrawnAtMostTenTimesASecond) {
  Session run;
  Progress progress = run.start(true, true, 100000);
  run.work(progress, 30000, 0.0001);
  const std::string text = run.err.str();
  EXPECT_LE(std::count(text.begin(), text.end(), '\r'), 26);
  EXPECT_GE(std::count(text.begin(), text.end(), '\r'), 20);
}

TEST(Progress, TerminalLineIsRemovedAtTheEnd) {
  Session run;
  {
    Progress progress = run.start(true);
    run.work(progress, 10, 0.1);
  }
  EXPECT_TRUE(run.err.str().ends_with("\r\033[K"));
}

TEST(Progress, LogGetsOneLineEachTenth) {
  Session run;
  {
    Progress progress = run.start(false);
    run.work(progress, 100, 0.1);
  }
  const std::string text = run.err.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10);
  EXPECT_TRUE(text.starts_with("score  10 %  10/100 groups  10/s  9.00 s left\n")) << text;
  EXPECT_TRUE(text.ends_with("score  100 %  100/100 groups  10/s\n")) << text;
  EXPECT_EQ(text.find('\033'), std::string::npos);
}

TEST(Progress, NothingWhenDisabled) {
  Session run;
  Progress progress = run.start(true, false);
  run.work(progress, 100, 0.1);
  EXPECT_EQ(run.err.str(), "");
}

TEST(Progress, NeverExceedsTheTerminal) {
  Session run;
  Progress progress(
      run.err, "a step with a very long name that fills the line", 10,
      {.enabled = true, .tty = true, .width = 40, .unit = "images", .clock = [&] { return run.now; }});
  run.now = 1;
  progress.update(3);
  EXPECT_LE(run.err.str().size(), std::string("\r\033[K").size() + 39);
}

}  // namespace
}  // namespace pollard::cli
