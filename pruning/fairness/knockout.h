// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/removal.h"
#include "models/model.h"

namespace pollard::pruning::fairness {

/// Something that can be silenced: unit `unit` of Dependencies::groups[group].
struct Unit {
  std::int32_t group = -1;
  std::int64_t unit = 0;
  bool operator==(const Unit&) const = default;
};

/// Every attention head the analysis found, numbered in program order: head i of layer l of a network with h heads a
/// layer is l h + i. Grouped queries have a number for each key-value head (all its queries) and one for each place
/// in a group of queries (across the key-value heads).
std::vector<Unit> attention_heads(const graph::Dependencies& dependencies);
/// All units of the groups that touch a parameter whose name matches one of the patterns: feed-forward units, head
/// dims, LSTM units.
std::vector<Unit> units_matching(const models::Model& model, const graph::Dependencies& dependencies,
                                 const std::vector<std::string>& patterns);
graph::Removal removal_of(const graph::Dependencies& dependencies, std::span<const Unit> units);
/// "h.3.attn.c_proj.weight": the last parameter the unit has a share in, as people would look it up.
std::string place_of(const models::Model& model, const graph::Dependencies& dependencies, const Unit& unit);

/// Runs a network once whole and once without each of its units. A unit is silenced as verify() defines its removal:
/// all its slabs zero, norms over the kept units. For every unit only the ops that feel it run again, on what the
/// whole run left before them: with the units of layer l of L, that is (L - l) / L of the network.
class Knockout {
 public:
  /// `gone`: units that are silenced in every run, the whole one too.
  Knockout(models::Model model, const graph::Dependencies& dependencies, std::vector<Unit> units,
           std::optional<at::ScalarType> compute_type = std::nullopt, std::vector<Unit> gone = {});
  ~Knockout();
  Knockout(const Knockout&) = delete;
  Knockout& operator=(const Knockout&) = delete;

  const models::Model& model() const;
  const std::vector<Unit>& units() const;

  /// The network without unit `unit` of units(), -1: with all, as one that can be run by itself: its slabs are zero, and
  /// where a norm would have to know, they are cut out.
  models::Model without(std::int64_t unit) const;

  /// Called with the network's first output: for unit -1 (nothing silenced), then for each unit in order.
  using Visit = std::function<void(std::int64_t unit, const at::Tensor& output)>;
  /// Which units are wanted; -1 always is.
  using Wanted = std::function<bool(std::int64_t unit)>;
  /// `rows` (int64, flat positions of the first two dimensions) asks for these rows of the output alone, [N, last]:
  /// where the output is a linear layer's, the others are not computed.
  void run(const std::vector<at::Tensor>& inputs, const std::optional<at::Tensor>& rows, const Wanted& wanted,
           const Visit& visit) const;
  /// The same without sharing anything: every unit runs the whole masked network. What run() must equal.
  void run_naively(const std::vector<at::Tensor>& inputs, const std::optional<at::Tensor>& rows,
                   const Wanted& wanted, const Visit& visit) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollard::pruning::fairness
