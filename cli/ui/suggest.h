// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::cli {

/// Insertions, deletions, substitutions and swaps of neighbours needed to turn one text into the other
/// (optimal string alignment distance).
int edit_distance(std::string_view a, std::string_view b);

/// The candidate a typing mistake most likely meant: within a third of its length, or one it begins with.
/// Ties go to the first candidate.
std::optional<std::string> closest(std::string_view typed, const std::vector<std::string>& candidates);

}  // namespace pollard::cli
