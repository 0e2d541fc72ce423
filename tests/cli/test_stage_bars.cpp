// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <sstream>
#include <thread>

#include "cli/stage_bars.h"

namespace pollard::cli {
namespace {

using models::io::Stage;
using models::io::tell_stage;

/// What a program without a terminal says on stderr while `work` runs.
template <class Work>
std::string narrated(Work work) {
  std::ostringstream out, err;
  Context context({.out = out, .err = err, .out_terminal = {}, .err_terminal = {}}, {}, "prune");
  const StageBars bars(context);
  work();
  return err.str();
}

void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(520)); }

TEST(StageBars, TellOfTheOutermostStage) {
  const std::string text = narrated([] {
    tell_stage({.name = "sensitivity", .unit = "groups", .done = 0, .total = 2});
    rest();
    tell_stage({.name = "repair", .unit = "layers", .done = 0, .total = 1});
    tell_stage({.name = "repair", .unit = "layers", .done = 1, .total = 1});
    tell_stage({.name = "sensitivity", .unit = "groups", .done = 2, .total = 2});
    tell_stage({.name = "verify", .unit = "inputs", .done = 0, .total = 2});
    rest();
    tell_stage({.name = "verify", .unit = "inputs", .done = 1, .total = 2});
  });
  EXPECT_EQ(text.find("repair"), std::string::npos) << text;
  EXPECT_NE(text.find("sensitivity  100 %  2/2 groups"), std::string::npos) << text;
  EXPECT_NE(text.find("verify  50 %  1/2 inputs"), std::string::npos) << text;
}

TEST(StageBars, NobodyNeedsToListen) {
  tell_stage({.name = "verify", .unit = "inputs", .done = 1, .total = 2});
  int heard = 0;
  {
    const models::io::StageScope scope([&](const Stage&) { ++heard; });
    tell_stage({.name = "verify", .unit = "inputs", .done = 1, .total = 2});
  }
  tell_stage({.name = "verify", .unit = "inputs", .done = 2, .total = 2});
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace pollard::cli
