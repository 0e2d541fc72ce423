// SPDX-License-Identifier: Apache-2.0
// The rules of the source tree, read from the sources themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "tests/architecture/source_tree.h"
#include "tests/paths.h"

namespace pollard::tests {
namespace {

const std::vector<SourceFile>& sources() {
  static const std::vector<SourceFile> files = cpp_files(test::source_folder());
  return files;
}

// The storeys of the house, lowest first; a folder may include its own headers and those of lower folders.
int storey(const std::string& folder) {
  static const std::map<std::string, int> storeys = {{"graph", 0},   {"kernels", 1},  {"models", 2},
                                                     {"pruning", 3}, {"training", 4}, {"cli", 5}};
  const auto found = storeys.find(folder);
  return found == storeys.end() ? 6 : found->second;  // tests, bench and demo may use everything
}

bool is_product(const SourceFile& file) { return storey(file.folder()) < 6; }

bool is_libtorch(const std::string& include) {
  return include.starts_with("<torch/") || include.starts_with("<ATen/") || include.starts_with("<c10/");
}

// "<vector>" is the standard library's; "<boost/...>" is allowed; anything else has a dot or a slash.
bool is_std_or_boost(const std::string& include) {
  return include.starts_with("<boost/") || include.find_first_of("./") == std::string::npos;
}

std::size_t quantile(std::vector<std::size_t> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

TEST(Architecture, ProjectIncludesPointDown) {
  for (const SourceFile& file : sources())
    for (const std::string& include : includes(file)) {
      if (!include.starts_with('"')) continue;
      const std::string folder = include.substr(1, include.find('/') - 1);
      EXPECT_LE(storey(folder), storey(file.folder())) << file.path << " includes " << include;
      if (is_product(file)) EXPECT_NE(include.find('/'), std::string::npos) << file.path << ": " << include;
    }
}

TEST(Architecture, GraphUsesOnlyTheStandardLibraryAndBoost) {
  for (const SourceFile& file : sources())
    if (file.folder() == "graph")
      for (const std::string& include : includes(file))
        if (include.starts_with('<'))
          EXPECT_TRUE(is_std_or_boost(include)) << file.path << " includes " << include;
}

TEST(Architecture, TheHeaviestLibTorchHeadersAreNotUsed) {
  for (const SourceFile& file : sources())
    for (const std::string& include : includes(file)) {
      EXPECT_NE(include, "<torch/torch.h>") << file.path << ": 22 s to compile";
      EXPECT_NE(include, "<torch/script.h>") << file.path << ": 13 s to compile";
    }
}

TEST(Architecture, CudaSourcesAreFreeOfLibTorchHeaders) {
  for (const SourceFile& file : sources())
    if (file.path.ends_with(".cu") || file.path.ends_with(".cuh"))
      for (const std::string& include : includes(file)) EXPECT_FALSE(is_libtorch(include)) << file.path;
}

TEST(Architecture, CudaIsChosenByTheBuildAndNotByThePreprocessor) {
  const std::regex conditional(R"(^\s*#\s*(if|ifdef|ifndef|elif)\b.*(CUDA|NVCC))");
  for (const SourceFile& file : sources())
    if (is_product(file) && !file.path.starts_with("kernels/cuda/"))
      for (const std::string& line : file.lines)
        EXPECT_FALSE(std::regex_search(line, conditional)) << file.path;
}

TEST(Architecture, EveryFileNamesItsLicenceAndEveryHeaderIsIncludedOnce) {
  for (const SourceFile& file : sources()) {
    ASSERT_FALSE(file.lines.empty()) << file.path;
    EXPECT_EQ(file.lines[0], "// SPDX-License-Identifier: Apache-2.0") << file.path;
    if (file.is_header()) EXPECT_NE(file.text.find("\n#pragma once\n"), std::string::npos) << file.path;
  }
}

TEST(Architecture, NoFileIsLongerThan500Lines) {
  for (const SourceFile& file : sources()) EXPECT_LE(file.lines.size(), 500u) << file.path;
}

TEST(Architecture, NoFunctionIsLongerThan80Lines) {
  for (const SourceFile& file : sources())
    for (const Function& function : functions(file.text))
      EXPECT_LE(function.lines, 80) << file.path << ":" << function.first_line;
}

TEST(Architecture, MostFilesAndFunctionsAreShort) {
  std::vector<std::size_t> file_lines, function_lines;
  for (const SourceFile& file : sources()) {
    if (!is_product(file)) continue;
    file_lines.push_back(file.lines.size());
    for (const Function& function : functions(file.text))
      function_lines.push_back(static_cast<std::size_t>(function.lines));
  }
  EXPECT_LE(quantile(function_lines, 0.5), 10u);
  EXPECT_LE(quantile(function_lines, 0.9), 40u);
  EXPECT_LE(quantile(file_lines, 0.5), 120u);
  EXPECT_LE(quantile(file_lines, 0.9), 300u);
}

/// A file appears whole or not at all because one class writes them all. Reading goes through models/io/file.h, but for
/// what the system itself says of itself.
TEST(Architecture, FilesAreOpenedInOnePlace) {
  const std::set<std::string> ours{"models/io/system_calls.cpp", "models/io/system_calls.h",
                                   "models/io/file.cpp"};
  const std::regex writes(
      R"(\bofstream\b|\bfopen\b|\bfreopen\b|O_WRONLY|O_RDWR|\bcopy_file\b|(fs|filesystem)::rename\b|[^:\w]::rename\()");
  const std::regex reads(R"(\bifstream\b|[^:\w]::open\()");
  const std::set<std::string> of_the_system{"models/io/memory.cpp", "cli/system_info.cpp",
                                            "pruning/latency_table.cpp"};
  for (const SourceFile& file : sources()) {
    if (!is_product(file) || ours.contains(file.path) || file.path == "models/io/atomic_file.cpp") continue;
    EXPECT_FALSE(std::regex_search(file.text, writes)) << file.path << " writes files by itself";
    if (!of_the_system.contains(file.path))
      EXPECT_FALSE(std::regex_search(file.text, reads)) << file.path << " opens files by itself";
  }
}

TEST(Architecture, NoFileNamesAPlaceOnSomeonesMachine) {
  // In two parts, so that this file passes its own test.
  const std::regex place(std::string("(^|[^\\w.}/])/(wor") + "k|ro" + "ot|ho" + "me)/");
  for (const SourceFile& file : text_files(test::source_folder()))
    for (std::size_t line = 0; line < file.lines.size(); ++line)
      EXPECT_FALSE(std::regex_search(file.lines[line], place)) << file.path << ":" << line + 1;
}

TEST(Architecture, TheMapNamesEveryFolder) {
  std::string map;
  for (const SourceFile& file : text_files(test::source_folder()))
    if (file.path == "HACKING.md") map = file.text;
  ASSERT_FALSE(map.empty());
  for (const SourceFile& file : text_files(test::source_folder()))
    if (file.path.find('/') != std::string::npos)
      EXPECT_NE(map.find("`" + file.folder() + "/`"), std::string::npos) << file.path;
}

TEST(Architecture, NothingIsLeftToDo) {
  const std::regex left_over(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X)\\b");
  for (const SourceFile& file : sources())
    for (std::size_t line = 0; line < file.lines.size(); ++line)
      EXPECT_FALSE(std::regex_search(file.lines[line], left_over)) << file.path << ":" << line + 1;
}

std::vector<int> function_lines(const std::string& text) {
  std::vector<int> lines;
  for (const Function& function : functions(text)) lines.push_back(function.lines);
  return lines;
}

TEST(FunctionLength, CountsBodiesAndNotScopes) {
  EXPECT_EQ(function_lines("namespace a {\nclass B {\n int f() const { return 1; }\n};\n}"),
            std::vector<int>{1});
  EXPECT_EQ(function_lines("int f(int a)\n{\n  if (a) {\n  }\n}\nint g() {\n}"), (std::vector<int>{4, 2}));
}

TEST(FunctionLength, KnowsConstructorsOperatorsAndLambdas) {
  EXPECT_EQ(function_lines("A::A(int a) : b_{a}, c_(a) {\n}"), std::vector<int>{2});
  EXPECT_EQ(function_lines("bool operator==(const A& a) {\n}"), std::vector<int>{2});
  EXPECT_EQ(function_lines("auto f = [](int a) {\n\n};"), std::vector<int>{3});
  EXPECT_EQ(function_lines("void f(int a = 1) {\n}"), std::vector<int>{2});
}

TEST(FunctionLength, IsNotFooledByDataCommentsOrLiterals) {
  EXPECT_EQ(function_lines("const int a[] = {\n1,\n2};\nint b{3};"), std::vector<int>{});
  EXPECT_EQ(function_lines("// f() {\n#define M(x) { \\\n  x\nvoid g() { h(\"}\", '{', R\"(}})\"); }"),
            std::vector<int>{1});
}

}  // namespace
}  // namespace pollard::tests
