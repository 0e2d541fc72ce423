// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace pollard::cli {

std::string format_count(std::int64_t value);  ///< 855,770
std::string format_short(double value);        ///< 960, 12.4 k, 126.5 M, 3.1 G, 1.2 T
std::string format_bytes(double bytes);        ///< 960 B, 3.4 MiB
std::string format_seconds(double seconds);    ///< 870 ns, 4.21 ms, 12.5 s, 2 min 05 s, 1 h 02 min
std::string format_factor(double factor);      ///< 2.01x
std::string format_fixed(double value, int decimals);
std::string format_scientific(double value);  ///< 2.1e-6

/// "-53.1 %" for 855770 -> 401233; "0.0 %" when equal; "-" when `before` is 0.
std::string format_change(double before, double after);
/// "2.01x fewer", "1.20x more", "unchanged".
std::string format_fewer(double before, double after);

/// "4.21 ms +-0.05": one unit, equal decimals, at least one digit of the spread visible.
std::string format_seconds_spread(double seconds, double spread);
/// "238 +-3".
std::string format_spread(double value, double spread);

}  // namespace pollard::cli
