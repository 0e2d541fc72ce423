// SPDX-License-Identifier: Apache-2.0
#include "models/golden_fill.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <functional>

#include "graph/error.h"

namespace pollard::models {
namespace {

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::uint64_t splitmix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

/// Calls use(i, z_i) for every flat index.
template <class Use>
void each(std::string_view name, std::int64_t count, Use use) {
  const std::uint64_t seed = fnv1a(name);
  for (std::int64_t i = 0; i < count; ++i)
    use(i, splitmix(seed + static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15));
}

double unit(std::uint64_t z) { return static_cast<double>(z >> 40) * 0x1p-23 - 1; }

/// Computes in double and rounds once.
template <class Shape>
at::Tensor fill(std::string_view name, at::IntArrayRef shape, Shape shape_value) {
  at::Tensor out = at::empty(shape, at::kFloat);
  float* data = out.mutable_data_ptr<float>();
  each(name, out.numel(),
       [&](std::int64_t i, std::uint64_t z) { data[i] = static_cast<float>(shape_value(unit(z))); });
  return out;
}

}  // namespace

at::Tensor golden_unit(std::string_view name, at::IntArrayRef shape) {
  return fill(name, shape, [](double u) { return u; });
}

at::Tensor golden_parameter(std::string_view key, at::IntArrayRef shape) {
  if (shape.size() >= 2) {
    const std::int64_t numel = c10::multiply_integers(shape);
    const double divisor = std::sqrt(static_cast<double>(numel) / static_cast<double>(shape[0]));
    return fill(key, shape, [divisor](double u) { return u / divisor; });
  }
  const std::string_view last = key.substr(key.rfind('.') + 1);
  if (last == "running_var") return fill(key, shape, [](double u) { return 1 + 0.5 * std::abs(u); });
  if (last == "weight" || last == "gamma" || last == "scale" || last == "g")
    return fill(key, shape, [](double u) { return 1 + 0.1 * u; });
  return fill(key, shape, [](double u) { return 0.1 * u; });
}

at::Tensor golden_ids(std::string_view name, at::IntArrayRef shape, std::int64_t vocabulary) {
  POLLARD_CHECK(vocabulary > 0, std::string(name));
  at::Tensor out = at::empty(shape, at::kLong);
  std::int64_t* data = out.mutable_data_ptr<std::int64_t>();
  each(name, out.numel(), [&](std::int64_t i, std::uint64_t z) {
    data[i] = static_cast<std::int64_t>((z >> 33) % static_cast<std::uint64_t>(vocabulary));
  });
  return out;
}

}  // namespace pollard::models
