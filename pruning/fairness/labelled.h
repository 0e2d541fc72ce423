// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/program.h"
#include "pruning/fairness/metrics.h"

namespace pollard::pruning::fairness {

/// Examples with their true class and the group of people each speaks of.
struct Labelled {
  std::vector<at::Tensor> inputs;  ///< one tensor a user input, examples along dimension 0
  std::vector<std::int64_t> labels, groups;
};

/// From a .safetensors file, a PyTorch zip or .npz that holds the program's inputs under their names, and "labels" and
/// "groups" (numbered from 0), one whole number an example. Throws UserError E0390 and E0395 as read_calibration() does,
/// also when a group has no example or there are fewer than two.
Labelled read_labelled(const std::filesystem::path& path, const graph::Program& program);

/// Which rate must not differ between groups; see GroupGap.
enum class Gap : std::uint8_t { EqualisedOdds, Accuracy, TruePositive, FalsePositive };
std::optional<Gap> gap_from_string(std::string_view name);
std::vector<std::string> gap_names();  ///< "equalised-odds", "accuracy-gap", "tpr-gap", "fpr-gap"

/// The difference between the groups with the largest and the smallest rate, of a classifier whose first output is
/// [examples, classes]: the class with the largest output, of a single output class 1 above 0. The level of a group is
/// its rate: accuracy, true or false positives; of equalised odds its balanced accuracy.
std::unique_ptr<BiasMetric> make_group_gap(const Labelled& data, Gap gap, std::int64_t positive = 1);
/// The share of the examples that are given the wrong class.
std::unique_ptr<PerformanceMetric> make_error_rate(const Labelled& data);

}  // namespace pollard::pruning::fairness
