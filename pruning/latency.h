// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pruning/op_times.h"

namespace pollard::pruning {

/// The seconds that one run of a network takes on this machine, at the example input, for any widths.
///
/// Every class gets five candidate widths from its floor to whole. An op's shapes depend on one or two classes, so that 25
/// networks show every op at every pair of its widths: network (i, j) gives class c, of colour k < 5, its width number
/// (i + k j) mod 5, and number j where k = 5; classes that share an op have different colours, and two different lines
/// through Z5 x Z5 meet in one point. Between candidates times are interpolated, bilinearly; they never fall as widths
/// grow: a narrow op counts at most what a wider one takes, which it could be padded to. Ops of three classes and more are fitted by a + b x the product of
/// their shares. The sum is scaled to what a whole run takes beside its ops.
class LatencyModel {
 public:
  LatencyModel(const models::Model& model, const graph::Dependencies& dependencies,
               const std::vector<Class>& classes, OpTimer& timer);
  double seconds(const graph::Widths& widths) const;
  double dense() const { return dense_; }  ///< measured, whole network

 private:
  struct Shape {
    std::vector<double> sums;        ///< by network (i, j): seconds of all ops of these classes
    std::vector<double> grid;        ///< [first class's candidate, second's], or one class's; empty: fitted
    double fixed = 0, variable = 0;  ///< of the fit
  };
  std::size_t candidate(std::size_t c, std::size_t network) const;
  void colour(const std::vector<std::vector<std::size_t>>& classes_by_op);
  void fill(const std::vector<std::size_t>& classes, Shape& shape) const;
  void fit(const std::vector<std::size_t>& classes, Shape& shape) const;
  double of(const std::vector<std::size_t>& classes, const Shape& shape, const graph::Widths& widths) const;
  /// The candidate at or below a width, and how far it lies towards the next.
  std::pair<std::size_t, double> place(std::size_t c, const graph::Widths& widths) const;

  std::vector<std::vector<std::int64_t>>
      candidates_;                           ///< by class, ascending; one for classes that stay whole
  std::vector<std::size_t> colours_, axes_;  ///< by class
  std::map<std::vector<std::size_t>, Shape> shapes_;  ///< by the classes an op depends on
  double scale_ = 1, dense_ = 0;
};

}  // namespace pollard::pruning
