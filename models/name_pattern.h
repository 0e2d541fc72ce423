// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace pollard::models {

/// "encoder.layer.11.output" -> "encoder.layer.#.output": names alike but for their counters.
std::string name_pattern(const std::string& key);

}  // namespace pollard::models
