// SPDX-License-Identifier: Apache-2.0
#include "tests/paths.h"

namespace pollard::test {

std::string data_folder() { return POLLARD_TEST_DATA; }

std::string source_folder() { return POLLARD_SOURCE_DIR; }

std::string program() { return POLLARD_BINARY; }

std::string python() { return POLLARD_PYTHON; }

}  // namespace pollard::test
