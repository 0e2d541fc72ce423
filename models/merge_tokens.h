// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/model.h"

namespace pollard::models {

/// How many tokens leave in each layer: r everywhere, or from r (1 - inflect) to r (1 + inflect) in equal steps
/// (layers/token_merging.h).
struct MergeOptions {
  std::int64_t r = 8;
  double inflect = 0;          ///< -1 = most in the first layer and none in the last, +1 = the reverse
  std::string spec_json = {};  ///< sizes that names and shapes do not show: the number of heads
};

/// A network and the same network merging tokens.
struct MergedTokens {
  Model model;
  std::vector<std::int64_t> schedule;  ///< one number a layer
  double output_change = 0;            ///< of the example inputs' outputs, relative to their size
};

/// Names of the families whose networks can merge tokens: those whose specification has the schedule r.
std::vector<std::string> token_merging_families();

/// The same weights in a network that merges tokens (Bolya et al., 2022, arXiv 2210.09461). The network is rebuilt from
/// its family, so `model` may come from a checkpoint or be an exported program whose tensors have a family's names;
/// before anything else the rebuilt network must compute what `model` computes. The result is an ordinary model: it can
/// be saved, measured and pruned.
/// Throws UserError E0442 when there is no such family, when the tensors have other shapes (a network pruned to widths
/// that differ between its layers: merge first, then prune), or when the outputs differ (a head count the shapes do not
/// show); E0414 when the family refuses the schedule (registers, layer scale).
MergedTokens merge_tokens(const Model& model, const MergeOptions& options);

}  // namespace pollard::models
