// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace pollard::cli {

// Completion scripts made by walking the parser: commands, their options, and the values of options that accept
// a fixed set. Elsewhere files are completed. Hidden commands are left out.
std::string bash_completion(const CLI::App& root);
std::string zsh_completion(const CLI::App& root);
std::string fish_completion(const CLI::App& root);

}  // namespace pollard::cli
