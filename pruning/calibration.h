// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::kernels {
class Communicator;
}

namespace pollard::pruning {

/// Samples for a network: one tensor a user input, all with the samples along dimension 0.
struct CalibrationSet {
  std::vector<at::Tensor> inputs;
  at::Tensor labels;  ///< class of each sample, int64 [samples]; undefined when there are none
  at::Tensor mask;    ///< [samples, positions], 0 where a position is padding; undefined when all count
  std::optional<at::ScalarType>
      precision;  ///< the networks run in this type for criteria; f64 is for comparisons
  /// The processes that share the work on these samples, each of which was given all of them; nullptr: there is one. Scoring,
  /// make_plan(), measure_sensitivity() and repair() run a part of them in each and give all the same result.
  kernels::Communicator* job = nullptr;
  std::int64_t samples() const { return inputs.empty() ? 0 : inputs.front().size(0); }
};

/// Of the user inputs' samples, in order: the one that tells padding from data, an integer [samples, positions] whose name
/// contains "mask"; undefined when there is none.
at::Tensor padding_mask(const graph::Program& program, const std::vector<at::Tensor>& inputs);

/// Samples [begin, end) of a set.
CalibrationSet samples_between(const CalibrationSet& all, std::int64_t begin, std::int64_t end);

/// The rows of `x` [samples, positions, .., channels], or [samples x positions, channels], that hold data, as
/// [rows, channels]; `x` itself when `mask` is undefined or about something else.
at::Tensor counted_rows(const at::Tensor& x, const at::Tensor& mask);

/// How a file of samples is read.
struct CalibrationOptions {
  std::filesystem::path labels;  ///< classes of the samples: an IDX, .npy or .npz file
  std::filesystem::path
      tokenizer;  ///< folder of a tokenizer (models/data/text_tokens.h): the file is text, one sample a line
  std::int64_t most = 0;        ///< only the first so many samples; 0 for all
  double mean = 0, spread = 1;  ///< bytes (images) become (byte / 255 - mean) / spread
};

/// Reads tensors named like the program's user inputs, or in order when names differ, from a .safetensors file, a PyTorch
/// zip or .npz; one array for the one input of a network from .npy or IDX (gzipped or not); or lines of text, whose token
/// ids, mask and zero types go to the inputs named so (the mask counts also where no input takes it). A tensor named "labels" that is no input gives the labels; an
/// integer input [samples, positions] whose name contains "mask" is the mask. Bytes for a floating-point input are scaled
/// as images, and get a channel dimension where they lack one. Throws UserError E0390 when count, dtype or the shape of
/// a sample does not fit the program, E0395 when labels do not fit the samples, E0396 when arrays do not read.
CalibrationSet read_calibration(const std::filesystem::path& path, const graph::Program& program,
                                const CalibrationOptions& options = {});

/// The program for `batch` samples: exported with a fixed batch size, its size arguments follow the batch axis the
/// way they follow a pruned one, and counts of its samples repeat the first (pruning/batch_positions.h). Programs whose
/// batch is symbolic are returned unchanged. Throws UserError E0391 when an input has no batch dimension that stays one
/// axis, or what is computed from such a count differs between samples.
graph::Program with_batch(const graph::Program& program, const graph::Dependencies& dependencies,
                          std::int64_t batch);

}  // namespace pollard::pruning
