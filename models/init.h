// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pollard::models {

/// How a fresh parameter is filled. fan_in and fan_out are PyTorch's: for a weight [out, in, k...],
/// in * prod(k) and out * prod(k).
struct Init {
  enum class Kind : std::uint8_t {
    Constant,         ///< a
    Uniform,          ///< in [-a, a]
    Normal,           ///< mean 0, standard deviation a
    TruncatedNormal,  ///< the same, cut at +-b
    XavierUniform,    ///< a = gain: uniform with bound gain * sqrt(6 / (fan_in + fan_out))
    KaimingUniform,  ///< bound sqrt(6 / ((1 + a^2) * fan_in)); a = sqrt(5) is PyTorch's default of Linear and
                     ///< Conv
    KaimingNormalFanIn,   ///< standard deviation sqrt(2 / fan_in)
    KaimingNormalFanOut,  ///< standard deviation sqrt(2 / fan_out)
    Custom                ///< what `fill` writes
  };
  Kind kind = Kind::Constant;
  double a = 0;
  double b = 2;
  /// For what no distribution gives: a table, a matrix half of zeros.
  using Fill = void (*)(at::Tensor& tensor, const at::Generator& generator);
  Fill fill = nullptr;

  static Init zeros() { return {}; }
  static Init ones() { return {.a = 1}; }
  static Init constant(double value) { return {.a = value}; }
  static Init uniform(double bound) { return {.kind = Kind::Uniform, .a = bound}; }
  static Init normal(double deviation) { return {.kind = Kind::Normal, .a = deviation}; }
  static Init truncated_normal(double deviation, double cut = 2) {
    return {.kind = Kind::TruncatedNormal, .a = deviation, .b = cut};
  }
  static Init xavier_uniform(double gain = 1) { return {.kind = Kind::XavierUniform, .a = gain}; }
  static Init kaiming_uniform(double slope) { return {.kind = Kind::KaimingUniform, .a = slope}; }
  static Init kaiming_normal_fan_in() { return {.kind = Kind::KaimingNormalFanIn}; }
  static Init kaiming_normal_fan_out() { return {.kind = Kind::KaimingNormalFanOut}; }
  static Init by(Fill fill) { return {.kind = Kind::Custom, .fill = fill}; }
  /// U(-1/sqrt(fan), 1/sqrt(fan)): PyTorch's default for biases and recurrent weights.
  static Init inverse_sqrt(std::int64_t fan);
};

/// A new CPU tensor of `like`'s shape and dtype, filled as `init` says.
at::Tensor fresh(const at::Tensor& like, const Init& init, at::Generator generator);

}  // namespace pollard::models
