// SPDX-License-Identifier: Apache-2.0
#include "tests/architecture/source_tree.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

namespace pollard::tests {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kCpp = {".h", ".cpp", ".cu", ".cuh"};
const std::set<std::string> kText = {".h",  ".cpp",   ".cu",  ".cuh",  ".py",  ".sh",
                                     ".md", ".cmake", ".txt", ".toml", ".yml", ""};

SourceFile read(const fs::path& root, const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  SourceFile file{.path = fs::relative(path, root).generic_string(), .text = text.str(), .lines = {}};
  std::istringstream lines(file.text);
  for (std::string line; std::getline(lines, line);) file.lines.push_back(line);
  return file;
}

// Hidden folders hold no sources (.git, .deps); build is where CMake works.
bool is_skipped(const fs::path& directory) {
  const std::string name = directory.filename().string();
  return name.starts_with('.') || name == "build" || name == "__pycache__";
}

std::vector<SourceFile> files_with(const fs::path& root, const std::set<std::string>& extensions) {
  std::vector<SourceFile> files;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::end(entry); ++entry) {
    if (entry->is_directory() && is_skipped(entry->path())) entry.disable_recursion_pending();
    const bool git_link = entry->path().filename() == ".git";  // a worktree's is a file
    if (entry->is_regular_file() && !git_link && extensions.contains(entry->path().extension().string()))
      files.push_back(read(root, entry->path()));
  }
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

}  // namespace

std::string SourceFile::folder() const { return path.substr(0, path.find('/')); }
bool SourceFile::is_header() const { return path.ends_with(".h") || path.ends_with(".cuh"); }

std::vector<SourceFile> cpp_files(const fs::path& root) { return files_with(root, kCpp); }
std::vector<SourceFile> text_files(const fs::path& root) { return files_with(root, kText); }

std::vector<std::string> includes(const SourceFile& file) {
  std::vector<std::string> result;
  for (const std::string& line : file.lines) {
    if (!line.starts_with("#include")) continue;
    const std::size_t first = line.find_first_of("\"<");
    if (first == std::string::npos) continue;
    const std::size_t last = line.find_first_of("\">", first + 1);
    if (last != std::string::npos) result.push_back(line.substr(first, last - first + 1));
  }
  return result;
}

}  // namespace pollard::tests
