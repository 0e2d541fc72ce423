// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/inputs.h"
#include "kernels/replay.h"
#include "models/model.h"

namespace pollard::cli {

/// What runs a model: LibTorch's operators as the program names them, or the program lowered to pollard's and oneDNN's
/// kernels (kernels/lowering/lowering.h), which on a CUDA device is recorded and replayed (kernels/replay.h).
enum class Kernels : std::uint8_t { Torch, Pollard };

/// One model ready to run at one shape and type on one device.
class Contestant {
 public:
  /// Throws UserError E0203 for Kernels::Pollard on a CPU in another type than f32 and, where it multiplies that, bf16;
  /// E0415 when a run on a CUDA device cannot be recorded.
  Contestant(const models::Model& model, const Shapes& shapes, std::optional<at::ScalarType> type,
             c10::Device device, std::uint64_t seed, Kernels kernels = Kernels::Torch);
  /// Seconds of one forward pass, until the device has finished.
  double run();
  /// Bytes of the weights plus the most bytes one pass takes beside them.
  std::int64_t measure_memory();
  std::int64_t rows() const { return rows_; }

 private:
  void forward();
  kernels::RunOptions options() const;

  kernels::Weights weights_;
  kernels::Executor executor_;
  std::vector<at::Tensor> inputs_;
  std::optional<at::ScalarType> type_;
  c10::Device device_;
  std::optional<kernels::Replay> replay_;
  std::int64_t rows_ = 1;  ///< dimension 0 of the first input
};

struct Timing {
  std::vector<double> seconds;  ///< sorted
  std::int64_t rows = 1, peak_bytes = 0;
};

/// Runs the contestants in turn, `repeat` rounds after `warmup` unmeasured ones, so that a slow moment of the machine
/// hits all of them alike. `after_round` is called once a round; it may throw to stop.
std::vector<Timing> race(std::vector<Contestant>& contestants, int warmup, int repeat,
                         const std::function<void()>& after_round);

}  // namespace pollard::cli
