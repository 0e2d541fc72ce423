// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "models/onnx/translation.h"

namespace pollard::models::onnx {

/// How one op is said in ONNX: one line of the table, and a function where one node is not enough.
struct OnnxRule {
  std::string_view name;  ///< base name of the ATen op, without the underscore of in-place variants
  void (*translate)(Translation&, const OnnxRule&);
  std::string_view type = {};  ///< the ONNX op, for functions that serve several
  int opset = 17;              ///< the first that has what the rule uses
};

/// The rule for a target ("aten.relu.default", "_operator.mul"), or nullptr.
const OnnxRule* find_rule(std::string_view target);

// The table, a file a kind; the explicit list of all of them is in rules.cpp.
std::span<const OnnxRule> elementwise_rules();
std::span<const OnnxRule> activation_rules();
std::span<const OnnxRule> arithmetic_rules();
std::span<const OnnxRule> shape_rules();
std::span<const OnnxRule> segment_rules();
std::span<const OnnxRule> product_rules();
std::span<const OnnxRule> convolution_rules();
std::span<const OnnxRule> pooling_rules();
std::span<const OnnxRule> norm_rules();
std::span<const OnnxRule> attention_rules();
std::span<const OnnxRule> recurrent_rules();
std::span<const OnnxRule> reduction_rules();
std::span<const OnnxRule> indexing_rules();
std::span<const OnnxRule> creation_rules();
std::span<const OnnxRule> spatial_rules();
std::span<const OnnxRule> size_rules();

}  // namespace pollard::models::onnx
