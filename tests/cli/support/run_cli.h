// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace pollard::cli::test {

struct Result {
  int exit = 0;
  std::string out, err;
};

/// Runs one command line in this process: no terminal, 80 columns.
Result run_cli(const std::vector<std::string>& arguments, int width = 80);

/// A variable of the environment for as long as the object lives.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const std::string& value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_;
};

/// A fresh folder, removed with everything in it at the end.
class ScopedFolder {
 public:
  ScopedFolder();
  ~ScopedFolder();
  ScopedFolder(const ScopedFolder&) = delete;
  ScopedFolder& operator=(const ScopedFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_text(const std::string& path, const std::string& text);
std::string read_text(const std::string& path);

/// Standard output of a shell command.
std::string shell(const std::string& command);

}  // namespace pollard::cli::test
