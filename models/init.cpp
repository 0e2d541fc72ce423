// SPDX-License-Identifier: Apache-2.0
#include "models/init.h"

#include <ATen/ops/empty.h>

#include <cmath>

namespace pollard::models {
namespace {

struct Fans {
  double in, out;
};

Fans fans(at::IntArrayRef shape) {
  double receptive = 1;
  for (std::size_t i = 2; i < shape.size(); ++i) receptive *= static_cast<double>(shape[i]);
  const double out = shape.empty() ? 1 : static_cast<double>(shape[0]);
  const double in = shape.size() < 2 ? out : static_cast<double>(shape[1]);
  return {in * receptive, out * receptive};
}

/// Inverse of the normal distribution's cumulative function on the central interval, as PyTorch samples it.
void fill_truncated_normal(at::Tensor& t, double deviation, double cut, const at::Generator& generator) {
  const auto cumulative = [](double x) { return (1 + std::erf(x / std::sqrt(2.0))) / 2; };
  const double low = cumulative(-cut / deviation), high = cumulative(cut / deviation);
  t.uniform_(2 * low - 1, 2 * high - 1, generator);
  t.erfinv_().mul_(deviation * std::sqrt(2.0)).clamp_(-cut, cut);
}

}  // namespace

Init Init::inverse_sqrt(std::int64_t fan) { return uniform(1 / std::sqrt(static_cast<double>(fan))); }

at::Tensor fresh(const at::Tensor& like, const Init& init, at::Generator generator) {
  at::Tensor t = at::empty(like.sizes(), like.options().device(at::kCPU));
  const Fans fan = fans(like.sizes());
  const auto uniform = [&](double bound) { t.uniform_(-bound, bound, generator); };
  switch (init.kind) {
    case Init::Kind::Constant: t.fill_(init.a); break;
    case Init::Kind::Uniform: uniform(init.a); break;
    case Init::Kind::Normal: t.normal_(0, init.a, generator); break;
    case Init::Kind::TruncatedNormal: fill_truncated_normal(t, init.a, init.b, generator); break;
    case Init::Kind::XavierUniform: uniform(init.a * std::sqrt(6 / (fan.in + fan.out))); break;
    case Init::Kind::KaimingUniform: uniform(std::sqrt(6 / ((1 + init.a * init.a) * fan.in))); break;
    case Init::Kind::KaimingNormalFanIn: t.normal_(0, std::sqrt(2 / fan.in), generator); break;
    case Init::Kind::KaimingNormalFanOut: t.normal_(0, std::sqrt(2 / fan.out), generator); break;
    case Init::Kind::Custom: init.fill(t, generator); break;
  }
  return t;
}

}  // namespace pollard::models
