// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cli/fairness_options.h"
#include "pruning/calibration.h"
#include "pruning/fairness/metrics.h"

namespace pollard::cli {

/// The two measures, ready for one model: of prompts and a text, or of labelled examples.
struct Meters {
  std::unique_ptr<pruning::fairness::PerformanceMetric> performance;
  std::unique_ptr<pruning::fairness::BiasMetric> bias;
};
/// Of a network that may be a smaller one than `arguments` names: the tokenizer is that of the named model.
/// Throws UserError E0204 when a file that the metric needs was not named.
Meters make_meters(const FairnessArguments& arguments, const graph::Program& program, std::uint64_t seed);
/// The performance measure one sequence a batch: for gradients.
std::unique_ptr<pruning::fairness::PerformanceMetric> make_single_performance(
    const FairnessArguments& arguments, const graph::Program& program);

/// Whether the files were named that measuring takes.
bool can_measure(const FairnessArguments& arguments);
/// What a kept measurement belongs to: the model's file and everything that was measured with.
std::string fingerprint(const FairnessArguments& arguments, const std::string& model_sha256,
                        std::uint64_t seed);

/// The text or the labelled examples as unlabelled samples to refit on: windows of a language model's text, lines of an
/// encoder's.
pruning::CalibrationSet refit_samples(const FairnessArguments& arguments, const graph::Program& program);

}  // namespace pollard::cli
