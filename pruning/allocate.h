// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace pollard::pruning {

/// Predicted error by how far a class has shrunk: error[p] at point p, ascending from error[0] = 0. A point is one step of
/// the class (one unit, or one multiple of --round-to).
using ErrorCurve = std::vector<double>;

/// How far all budgets together are exceeded when class c is at point points[c]; 0 when all are met. Falls, or stays,
/// as points rise.
using Excess = std::function<double(const std::vector<std::size_t>& points)>;

/// Chooses a point on every curve so that excess is 0 and the sum of errors is small; nothing when even the last points
/// do not meet the budgets.
///
/// Marginal analysis (Shoham and Gersho 1988) with exact costs in place of additive ones: from the dense network, always
/// take the move with the least added error for the excess it removes; a move is 1, 2, 4, ... strides of one class, so
/// that a flat or concave stretch of a curve is passed in one go. Then exchange: give back what the budgets do not
/// need, and trade points of one class for points of another as long as that lowers the error. The exchange is run from
/// three starts (that descent, even shrinking, all floors) and the best result taken: a local optimum of such trades.
/// docs/repair.md gives its gap to the true optimum, by enumeration.
std::optional<std::vector<std::size_t>> allocate(const std::vector<ErrorCurve>& curves, const Excess& excess);

}  // namespace pollard::pruning
