// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pollard::cli {

class CommandLine;

void add_generate(CommandLine& line);

/// What ends a text, by the config.json beside the model; nothing without one.
std::vector<std::int64_t> ends_of(const std::string& model);

}  // namespace pollard::cli
