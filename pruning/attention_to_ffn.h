// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pruning/attention_layers.h"
#include "pruning/calibration.h"

namespace pollard::pruning {

/// How wide the replacing networks are, as a share of their input w = positions x width: w / 256, / 128, / 8, / 2 and 2 w
/// for the paper's XS, S, M, L and XL. Throws UserError E0203 for another name.
std::int64_t sentence_width(const std::string& size, std::int64_t input_width);

struct SentenceTraining {
  std::string size = "S";
  std::int64_t positions = 0;  ///< the longest sequence; 0 = that of the samples or of the example
  int epochs = 21;             ///< the paper's schedule: Adam, betas 0.9 and 0.98, epsilon 1e-9
  double learning_rate = 1e-4;
  std::int64_t batch = 32;
  double held_out = 0.1;  ///< this share of the samples is not trained on; the errors reported are theirs
  std::vector<std::string> only, ignore;  ///< glob patterns on layers' names
  std::uint64_t seed = 0;
  /// Told after each epoch of a layer: its name, epochs done, error on the samples held out.
  std::function<void(const std::string& layer, int epoch, double error)> progress;
};

struct SentenceLayer {
  std::string name;
  std::int64_t input_width = 0, hidden = 0, output_width = 0;
  double error_before = 0;  ///< |f(x) - attention(x)| / |attention(x)| on the held-out samples, untrained
  double error = 0;         ///< the same after training
};

struct SentenceReport {
  std::vector<SentenceLayer> layers;
  std::vector<std::string> left;  ///< attention layers not replaced, with the reason
  std::int64_t samples = 0, held_out = 0;
  double output_change = 0;  ///< of the network's outputs on the held-out samples: |new - old| / |old|
};

/// Replaces self-attention by shallow feed-forward networks over the whole sequence (ALR of Bozic et al., 2023, arXiv
/// 2311.10642). A sequence [S, d] is masked where there is padding, filled with zeros to `positions` rows and flattened:
///
///     f(w) = LN(w) -> Linear(w, m) -> LeakyReLU(0.01) -> LN(m) -> Linear(m, positions x heads x head_dim)
///
/// and stands for queries, keys, values and the weighing; the projection after it stays. Each network is trained alone to
/// give what its attention gives on the original's activations for the samples (mean squared error over the positions
/// that are no padding). The weights become NAME.ff.layers.{0,1,3,4}.{weight,bias}. A sequence longer than `positions`
/// fails when the result runs. Memory: activations of one layer for all samples, and four times a network's weights.
/// Throws UserError E0390 when `positions` is fewer than samples or the program's example have; an unchanged model has an empty report.
SentenceReport attention_to_ffn(models::Model& model, const CalibrationSet& samples,
                                const SentenceTraining& options);

}  // namespace pollard::pruning
