// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pollard::tests {

struct SourceFile {
  std::string path;  ///< from the repository root, "graph/program.h"
  std::string text;
  std::vector<std::string> lines;

  std::string folder() const;  ///< "graph"
  bool is_header() const;
};

/// Every C++ and CUDA file of the project, by path.
std::vector<SourceFile> cpp_files(const std::filesystem::path& root);
/// Every text file of the project (by extension), by path.
std::vector<SourceFile> text_files(const std::filesystem::path& root);

/// What stands between the quotes or brackets of each #include, with its delimiters: "\"graph/term.h\"", "<vector>".
std::vector<std::string> includes(const SourceFile& file);

struct Function {
  int first_line = 0;  ///< of the body's opening brace, from 1
  int lines = 0;       ///< opening to closing brace, both counted
};
/// The functions defined in C++ text, found by their braces: comments, literals and preprocessor lines are skipped;
/// a function's inner lambdas and classes belong to it. A brace that initialises data is not a function.
std::vector<Function> functions(const std::string& text);

}  // namespace pollard::tests
