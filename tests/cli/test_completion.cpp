// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/ui/text.h"
#include "tests/cli/support/run_cli.h"

namespace pollard::cli {
namespace {

// What bash offers for the last word of `words`.
std::vector<std::string> complete(const std::string& words) {
  const test::ScopedFolder folder;
  test::write_text(folder / "pollard.bash", test::run_cli({"completion", "bash"}).out);
  test::write_text(folder / "model.pt2", "");
  const std::string script =
      "cd '" + (folder / "") + "' && . ./pollard.bash && COMP_WORDS=(" + words +
      ") && COMP_CWORD=$((${#COMP_WORDS[@]}-1)) && _pollard && printf '%s\\n' \"${COMPREPLY[@]}\"";
  auto offered = split(test::shell("bash --norc -c '" + join(split(script, '\''), "'\\''") + "'"), '\n');
  std::erase(offered, "");
  return offered;
}

TEST(Completion, BashOffersCommands) {
  EXPECT_EQ(complete("pollard doc"), std::vector<std::string>{"doctor"});
}

TEST(Completion, BashOffersOptionsAndTheirValues) {
  EXPECT_EQ(complete("pollard doctor --col"), std::vector<std::string>{"--color"});
  EXPECT_EQ(complete("pollard doctor --color al"), std::vector<std::string>{"always"});
  EXPECT_EQ(complete("pollard completion z"), std::vector<std::string>{"zsh"});
}

TEST(Completion, BashOffersFilesWhereFilesBelong) {
  EXPECT_EQ(complete("pollard doctor --log-file mod"), std::vector<std::string>{"model.pt2"});
  EXPECT_TRUE(complete("pollard doctor --threads mod").empty());
}

TEST(Completion, EveryScriptKnowsEveryCommand) {
  CommandLine line;
  add_commands(line);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = test::run_cli({"completion", shell}).out;
    for (const std::string& name : line.command_names())
      EXPECT_NE(script.find(name), std::string::npos) << shell << " " << name;
    EXPECT_EQ(script.find("help-reference"), std::string::npos) << "hidden";
  }
}

}  // namespace
}  // namespace pollard::cli
