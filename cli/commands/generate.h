// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace pollard::cli {

class CommandLine;

void add_generate(CommandLine& line);

}  // namespace pollard::cli
