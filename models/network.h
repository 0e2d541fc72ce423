// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/module.h"

namespace pollard::models {

/// One dimension of an example input: a number, or a symbolic size with the number it has in the example and
/// the range it may take. Dimensions of one symbol have one length.
struct Dim {
  std::int64_t size;
  std::string symbol;  ///< "" = fixed
  std::int64_t min = 1;
  std::optional<std::int64_t> max;

  Dim(std::int64_t fixed)
      : size(fixed) {}  // NOLINT(google-explicit-constructor): {3, 224, 224} reads as a shape
  Dim(std::int64_t example, std::string name, std::int64_t low, std::optional<std::int64_t> high)
      : size(example), symbol(std::move(name)), min(low), max(high) {}
};

/// The batch dimension: any size, 2 in the example. (Sizes 0 and 1 broadcast, so examples avoid them.)
inline Dim batch(std::int64_t example = 2) { return {example, "batch", 1, std::nullopt}; }

/// The length of a sequence: 1 to `longest` (none = any), 16 or `longest` in the example.
inline Dim sequence(std::optional<std::int64_t> longest = {}) {
  return {std::min<std::int64_t>(16, longest.value_or(16)), "sequence", 1, longest};
}

/// What a network is run with when nothing else is given, and which sizes may vary.
struct Example {
  std::string name;  ///< the forward argument's name
  std::vector<Dim> shape;
  at::ScalarType dtype = at::kFloat;
  std::int64_t high = 2;  ///< integer inputs: ids lie in [low, high)
  std::int64_t low = 0;
};

/// What forward returns: one tensor, a tuple, or a dictionary.
class Result {
 public:
  enum class Kind : std::uint8_t { Tensor, Tuple, Dict };
  using Named = std::pair<std::string, at::Tensor>;

  Result(at::Tensor tensor);  // NOLINT(google-explicit-constructor): forward returns a tensor
  static Result tuple(std::vector<at::Tensor> tensors);
  static Result dict(std::vector<Named> items);  ///< keeps the order

  Kind kind() const { return kind_; }
  const std::vector<Named>& items() const& { return items_; }  ///< names are empty but in a dictionary
  const std::vector<Named>& items() const&& = delete;  // for (... : network.forward(x).items()) would dangle
  const at::Tensor& first() const { return items_.front().second; }

 private:
  Kind kind_ = Kind::Tensor;
  std::vector<Named> items_;
};

/// A whole network: what a family builds.
class Network : public Module {
 public:
  virtual Result forward(const std::vector<at::Tensor>& inputs) = 0;
  /// One entry an input of forward, in order.
  virtual std::vector<Example> examples() const = 0;
  /// Inputs of the example shapes on `device`; a pure function of their names, so the same every time.
  /// Networks whose inputs must agree with each other (edges of a graph) override it.
  virtual std::vector<at::Tensor> example_inputs(at::Device device = at::kCPU) const;
};

}  // namespace pollard::models
