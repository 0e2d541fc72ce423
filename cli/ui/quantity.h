// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::cli {

// Numbers as people type them. Each throws UserError E0203 (Exit::Usage) that names `option` and shows an example.

double parse_number(std::string_view text, const std::string& option);
std::int64_t parse_count(std::string_view text, const std::string& option);  ///< "1.2M", "855,770", "64k"
double parse_factor(std::string_view text, const std::string& option);       ///< "2x", "1.5"; above 1
double parse_fraction(std::string_view text, const std::string& option);     ///< "0.5", "50%"; within 0..1
double parse_seconds(std::string_view text, const std::string& option);      ///< "3ms", "250us", "1.5s"
std::vector<std::int64_t> parse_shape(std::string_view text, const std::string& option);   ///< "1x3x224x224"
std::vector<std::int64_t> parse_counts(std::string_view text, const std::string& option);  ///< "1,8,64"
std::vector<double> parse_numbers(std::string_view text, const std::string& option);       ///< "50,90,99"
/// "0.1:0.8:0.1": first, last (included), step.
std::vector<double> parse_range(std::string_view text, const std::string& option);

}  // namespace pollard::cli
