// SPDX-License-Identifier: Apache-2.0
#include "pruning/consumer_problems.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/error.h"

namespace pollard::pruning {
namespace {

/// W [batch, o, columns] in the metric: its squares are errors on the wanted scale.
at::Tensor scaled_weight(const Observed& o, const at::Tensor& covariance, const Statistics& all,
                         ErrorMetric metric) {
  at::Tensor w = o.weight.to(at::kDouble).flatten(2);
  if (metric == ErrorMetric::Local) {
    const double energy = (w * at::matmul(w, covariance)).sum().item<double>();
    return w / std::sqrt(std::max(energy, 1e-300));
  }
  if (!o.output_gradient.defined()) return w * 0;  // nothing of it reaches the output
  const double rows = o.input->total / all.samples / std::max(all.output_energy, 1e-300);
  const at::Tensor s = o.output_gradient * rows;
  if (s.size(1) == 1) return w * s.sqrt();
  const auto [values, vectors] = at::linalg_eigh(s, "L");
  return at::matmul(vectors.transpose(1, 2), w) * values.clamp_min(0).sqrt().unsqueeze(2);
}

/// (C + ridge mean(diag C))^-1 [batch, n, n]. Products in single precision leave eigenvalues uncertain by 1e-7 of the largest
/// one, which may be thousands of times the mean: where the sum is not positive definite, the ridge is below what is known of C,
/// and grows tenfold until it is.
at::Tensor inverse_of(const at::Tensor& covariance, double ridge) {
  const at::Tensor diagonal = covariance.diagonal(0, 1, 2), mean = diagonal.mean(1, true).clamp_min(1e-30);
  for (;; ridge = std::max(10 * ridge, 1e-9)) {
    const auto [factor, failed] =
        at::linalg_cholesky_ex(covariance + at::diag_embed((mean * ridge).expand(diagonal.sizes())));
    if (!failed.any().item<bool>()) return at::cholesky_inverse(factor);
    if (ridge > 1e3)
      throw UserError(
          {.code = "E0325",
           .exit = Exit::BadFile,
           .subject = "scores",
           .message = "the activations of the samples are not finite",
           .where = {},
           .why = "their products overflow, or the samples or weights hold NaN or infinite values",
           .help = "look for them with: pollard inspect FILE"});
  }
}

}  // namespace

std::vector<BlockElimination::Problem> consumer_problems(const std::vector<Consumer>& consumers,
                                                         const Statistics& all, double ridge,
                                                         ErrorMetric metric) {
  struct Parts {
    std::vector<at::Tensor> weights;
    at::Tensor covariance;
    std::vector<std::vector<std::int64_t>> columns;
  };
  std::map<std::pair<const InputMoments*, bool>, std::size_t> place;
  std::vector<Parts> parts;
  for (const Consumer& consumer : consumers) {
    const Observed& o = all.observed[consumer.observed];
    if (!o.input->second.defined()) continue;
    const bool centred = o.contraction.intercept;
    const auto [found, fresh] = place.try_emplace({o.input.get(), centred}, parts.size());
    if (fresh) {
      Parts p{.weights = {}, .covariance = o.input->covariance(centred), .columns = {}};
      const std::int64_t taps = o.weight.size(3);
      for (const auto& unit : consumer.channels) {
        std::vector<std::int64_t> columns;
        for (std::int64_t channel : unit)
          for (std::int64_t tap = 0; tap < taps; ++tap) columns.push_back(channel * taps + tap);
        p.columns.push_back(std::move(columns));
      }
      parts.push_back(std::move(p));
    }
    Parts& p = parts[found->second];
    p.weights.push_back(scaled_weight(o, p.covariance, all, metric));
  }
  std::vector<BlockElimination::Problem> out;
  for (Parts& p : parts) {
    out.push_back({.inverse = inverse_of(p.covariance, ridge),
                   .weight = at::cat(p.weights, 1),
                   .columns = std::move(p.columns)});
  }
  return out;
}

}  // namespace pollard::pruning
