// SPDX-License-Identifier: Apache-2.0
#include "tests/cli/support/run_cli.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "cli/app.h"

namespace pollard::cli::test {

Result run_cli(const std::vector<std::string>& arguments, int width) {
  std::ostringstream out, err;
  const Terminal terminal{.tty = false, .width = width};
  const int exit =
      run(arguments, {.out = out, .err = err, .out_terminal = terminal, .err_terminal = terminal});
  return {exit, out.str(), err.str()};
}

ScopedVariable::ScopedVariable(std::string name, const std::string& value) : name_(std::move(name)) {
  setenv(name_.c_str(), value.c_str(), 1);
}
ScopedVariable::~ScopedVariable() { unsetenv(name_.c_str()); }

ScopedFolder::ScopedFolder() : path_(std::filesystem::temp_directory_path() / "pollard-test-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary folder");
}
ScopedFolder::~ScopedFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string shell(const std::string& command) {
  const auto close = [](FILE* pipe) { pclose(pipe); };
  const std::unique_ptr<FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t read = fread(buffer.data(), 1, buffer.size(), pipe.get()))
    out.append(buffer.data(), read);
  return out;
}

}  // namespace pollard::cli::test
