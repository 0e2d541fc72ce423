// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dependencies.h"
#include "kernels/executor.h"

namespace pollard::training {

struct SparsityOptions {
  enum class Kind : std::uint8_t {
    None,
    GroupNorm,      ///< strength * 2^(4 (max - |u|) / (max - min)) * w (Fang et al., DepGraph, CVPR 2023)
    Growing,        ///< a strength of every unit's own that grows (Wang et al., ICLR 2021)
    BatchNormScale  ///< strength * sign(gamma) (Liu et al., Network Slimming, ICCV 2017)
  };
  Kind kind = Kind::None;
  double strength = 5e-4;
  std::int64_t interval =
      10;              ///< Growing: steps between two increases, each of `strength` for the weakest unit
  double ceiling = 1;  ///< Growing: no unit's strength exceeds it
};
/// "group-l2=5e-4", "growing=1e-4", "bn-l1=1e-4", "none". Throws UserError E0203.
SparsityOptions sparsity_from(std::string_view text);

/// Pushes whole units towards zero while a network trains, so that little is lost when they leave. A unit is everything
/// that leaves with it: its slab in every parameter of its dependency group, recurrent gates, embeddings, heads and norms
/// included, |u| being their joint norm. The weakest units of a group are pushed hardest.
class Sparsity {
 public:
  /// `device`: where weights and their gradients are.
  Sparsity(SparsityOptions options, const graph::Program& program, const graph::Dependencies& dependencies,
           at::Device device = at::kCPU);

  /// After backward(): adds the penalty's gradient to every grad() that is defined. `step` counts from 0.
  void add_gradients(const kernels::Weights& weights, std::int64_t step);

  /// The joint norm of every unit, by group, f64.
  std::vector<at::Tensor> norms(const kernels::Weights& weights) const;

  /// What is remembered between steps (Growing), by group id; for checkpoints.
  std::map<std::string, at::Tensor> state() const;
  void restore(const std::map<std::string, at::Tensor>& state);

 private:
  struct Slab {
    std::string source;
    std::int64_t dim = 0;
    at::Tensor
        unit;  ///< int64 [length of dim]: which unit covers an index; the number of units where none does
    bool batch_norm_scale = false;
  };
  struct Group {
    std::string id;
    std::int64_t units = 0;
    std::vector<Slab> slabs;
    at::Tensor strength;  ///< Growing: [units + 1], f32
  };
  at::Tensor norm(const Group& group, const kernels::Weights& weights) const;
  at::Tensor strengths(Group& group, const kernels::Weights& weights, std::int64_t step) const;

  SparsityOptions options_;
  std::vector<Group> groups_;
};

}  // namespace pollard::training
