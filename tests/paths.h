// SPDX-License-Identifier: Apache-2.0
// Where the tests' data and the programs they start are. Defined in one source file, so that no other test is
// compiled anew when the build folder moves.
#pragma once
#include <string>

namespace pollard::test {

/// This folder, tests/.
std::string data_folder();

/// The root of the source tree.
std::string source_folder();

/// The pollard program; empty when it is not built.
std::string program();

/// A Python that has LibTorch's torch, numpy and safetensors; empty when there is none.
std::string python();

}  // namespace pollard::test
