// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "graph/error_catalog.h"
#include "tests/paths.h"

namespace pollard {
namespace {

/// Every "E0nnn" in a string of the product's sources, with a file it stands in.
std::map<std::string, std::string> codes_in_sources() {
  std::map<std::string, std::string> codes;
  const std::regex code("\"(E0[0-9]{3})\"");
  for (const char* folder : {"graph", "kernels", "models", "pruning", "training", "cli"}) {
    for (const auto& file : std::filesystem::recursive_directory_iterator(
             std::filesystem::path(test::source_folder()) / folder)) {
      const std::string extension = file.path().extension().string();
      if (extension != ".cpp" && extension != ".h") continue;
      std::ifstream in(file.path());
      const std::string text(std::istreambuf_iterator<char>(in), {});
      for (std::sregex_iterator it(text.begin(), text.end(), code), end; it != end; ++it)
        codes.emplace((*it)[1], file.path().string());
    }
  }
  return codes;
}

TEST(ErrorCatalog, ExplainsEveryCodeTheProgramCanPrint) {
  for (const auto& [code, file] : codes_in_sources())
    EXPECT_NE(find_error(code), nullptr)
        << code << " in " << file << ": add it to the table in graph/errors/";
}

TEST(ErrorCatalog, HasEachCodeOnceWithAllItsParts) {
  std::set<std::string_view> seen;
  for (const ErrorEntry& entry : all_errors()) {
    EXPECT_TRUE(seen.insert(entry.code).second) << entry.code;
    EXPECT_FALSE(entry.title.empty() || entry.fix.empty()) << entry.code;
    EXPECT_TRUE(entry.explanation.ends_with('.')) << entry.code;
    EXPECT_TRUE(entry.example.starts_with("error[" + std::string(entry.code) + "] ")) << entry.code;
  }
}

TEST(ErrorCatalog, GroupsCodesByTheirFirstDigits) {
  for (const ErrorEntry& entry : all_errors()) {
    const char group = entry.code[2];
    if (group == '2') EXPECT_EQ(entry.exit, Exit::Usage) << entry.code;
    if (group == '3') EXPECT_TRUE(entry.exit == Exit::BadFile || entry.exit == Exit::Usage) << entry.code;
    if (group == '4') EXPECT_EQ(entry.exit, Exit::Unsupported) << entry.code;
    if (group == '5')
      EXPECT_TRUE(entry.exit == Exit::Environment || entry.exit == Exit::Interrupted) << entry.code;
  }
}

TEST(ErrorCatalog, KnowsNothingOfOtherCodes) {
  EXPECT_EQ(find_error("E9999"), nullptr);
  EXPECT_EQ(find_error(""), nullptr);
}

}  // namespace
}  // namespace pollard
