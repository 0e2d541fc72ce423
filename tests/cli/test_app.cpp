// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/ui/text.h"
#include "tests/cli/support/run_cli.h"

namespace pollard::cli {
namespace {

using test::run_cli;
using test::ScopedFolder;
using test::ScopedVariable;

std::vector<std::string> commands() {
  CommandLine line;
  add_commands(line);
  return line.command_names();
}

TEST(App, UnknownCommandSuggestsTheNearest) {
  const auto result = run_cli({"docter"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "error[E0201] unknown command \"docter\"; did you mean \"doctor\"?  (exit 2)\n");
}

TEST(App, UnknownOptionSuggestsTheNearest) {
  const auto result = run_cli({"doctor", "--jsno"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_EQ(result.err,
            "error[E0202] doctor: unknown option \"--jsno\"; did you mean \"--json\"?  (exit 2)\n");
}

TEST(App, NoCommandShowsTheHelpOnStderr) {
  const auto result = run_cli({});
  EXPECT_EQ(result.exit, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, run_cli({"--help"}).out);
}

TEST(App, ParserErrorsExitWith2) {
  const std::vector<std::vector<std::string>> lines{{"completion"},
                                                    {"completion", "tcsh"},
                                                    {"doctor", "extra"},
                                                    {"doctor", "--threads", "many"},
                                                    {"--nonsense"},
                                                    {"--color", "pink"},
                                                    {"doctor", "--threads"},
                                                    {"doctor", "--device", "tpu"},
                                                    {"doctor", "--threads", "-3"},
                                                    {"doctor", "--device", "cuda:"}};
  for (const auto& line : lines) {
    const auto result = run_cli(line);
    EXPECT_EQ(result.exit, 2) << join(line, " ");
    EXPECT_EQ(result.out, "") << join(line, " ");
    EXPECT_TRUE(result.err.starts_with("error[E02")) << result.err;
  }
}

TEST(App, EveryHelpPageFitsAScreen) {
  std::vector<std::vector<std::string>> lines{{"--help"}};
  for (const std::string& name : commands()) lines.push_back({name, "--help"});
  for (const auto& line : lines) {
    const auto result = run_cli(line);
    EXPECT_EQ(result.exit, 0);
    const auto rows = split(result.out, '\n');
    EXPECT_LE(rows.size(), 41U) << join(line, " ");
    for (const std::string& row : rows) EXPECT_LE(display_width(row), 80) << row;
    EXPECT_NE(result.out.find("\nExamples:\n  pollard "), std::string::npos) << join(line, " ");
  }
}

TEST(App, HelpAllShowsGlobalOptionsOfACommand) {
  EXPECT_EQ(run_cli({"doctor", "--help"}).out.find("--log-file"), std::string::npos);
  EXPECT_NE(run_cli({"doctor", "--help-all"}).out.find("--log-file"), std::string::npos);
}

TEST(App, VersionNamesWhatMatters) {
  const auto result = run_cli({"--version"});
  EXPECT_EQ(result.exit, 0);
  for (const char* part : {"pollard ", "\nLibTorch 2.", "\nCUDA ", "\nCPU "})
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
}

TEST(App, ErrorsAreJsonToo) {
  const auto result = run_cli({"docter", "--json"});
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["schema"], "pollard.error/1");
  EXPECT_EQ(json["code"], "E0201");
  EXPECT_EQ(json["exit"], 2);
}

TEST(App, FlagsBeatEnvironmentBeatsConfigFile) {
  const ScopedFolder folder;
  test::write_text(folder / "c.toml", "threads = 1\nseed = 7\nverbose = true\n");
  const std::vector<std::string> line{"doctor", "--config", folder / "c.toml"};
  EXPECT_NE(run_cli(line).err.find("--threads = 1 (config file)"), std::string::npos);
  const ScopedVariable threads("POLLARD_THREADS", "2");
  const auto with_environment = run_cli(line).err;
  EXPECT_NE(with_environment.find("--threads = 2 (environment, POLLARD_THREADS)"), std::string::npos);
  EXPECT_NE(with_environment.find("--seed = 7 (config file)"), std::string::npos);
  auto with_flag = line;
  with_flag.insert(with_flag.end(), {"--threads", "1"});
  EXPECT_NE(run_cli(with_flag).err.find("--threads = 1 (command line)"), std::string::npos);
}

TEST(App, MistypedValuesAreGuessed) {
  EXPECT_NE(run_cli({"doctor", "--color", "alway"}).err.find("\"always\"?"), std::string::npos);
  EXPECT_NE(run_cli({"completion", "bsh"}).err.find("\"bash\"?"), std::string::npos);
  EXPECT_EQ(run_cli({"completion", "cmd.exe"}).err.find("did you mean"), std::string::npos);
}

TEST(App, ConfigFileMistakesNameTheLine) {
  const ScopedFolder folder;
  test::write_text(folder / "bad.toml", "threads = 1\nseed = = 2\n");
  const auto result = run_cli({"doctor", "--config", folder / "bad.toml"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_NE(result.err.find("error[E0209] --config: line 2"), std::string::npos) << result.err;
  test::write_text(folder / "unknown.toml", "thread = 1\n");
  EXPECT_EQ(run_cli({"doctor", "--config", folder / "unknown.toml"}).exit, 2);
  EXPECT_EQ(run_cli({"doctor", "--config", folder / "absent.toml"}).exit, 2);
}

TEST(App, ConfigVariableNamesAFile) {
  const ScopedFolder folder;
  test::write_text(folder / "c.toml", "json = true\n[completion]\nSHELL = \"zsh\"\n");
  const ScopedVariable config("POLLARD_CONFIG", folder / "c.toml");
  EXPECT_TRUE(run_cli({"doctor"}).out.starts_with("{\"schema\":\"pollard.doctor/1\""));
}

TEST(App, LogFileGetsEverythingAndScreenLittle) {
  const ScopedFolder folder;
  const auto result = run_cli({"devices", "-q", "--log-file", folder / "run.log"});
  EXPECT_EQ(result.err, "");
  EXPECT_NE(test::read_text(folder / "run.log").find("option --log-file"), std::string::npos);
  const auto unwritable = run_cli({"devices", "--log-file", "/proc/nowhere/run.log"});
  EXPECT_EQ(unwritable.exit, 5);
}

TEST(App, QuietTablesAreTsvWithoutHeader) {
  const auto rows = split(run_cli({"devices", "-q"}).out, '\n');
  EXPECT_TRUE(rows.front().starts_with("cpu\t"));
}

TEST(App, NothingButJsonOnStdoutWithJson) {
  for (const char* name : {"devices", "doctor"}) {
    const auto json = nlohmann::json::parse(run_cli({name, "--json"}).out);
    EXPECT_EQ(json["schema"], std::string("pollard.") + name + "/1");
    EXPECT_TRUE(json["tool"].get<std::string>().starts_with("pollard "));
    EXPECT_TRUE(json["warnings"].empty());
  }
}

}  // namespace
}  // namespace pollard::cli
