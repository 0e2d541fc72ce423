// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <random>
#include <string>
#include <vector>

#include "models/model.h"
#include "models/network.h"

namespace pollard::properties {

/// A network nobody designed: 4 to 16 random steps over images, sequences and vectors. Linear, convolution (grouped,
/// transposed), norms, attention, LSTM and GRU, views, transposes, concatenations, splits, residuals, gates, pooling,
/// weights used twice, gates, tables, paddings, stacks. The same seed is the same network.
class RandomNetwork : public models::Network {
 public:
  explicit RandomNetwork(std::uint64_t seed);

  models::Result forward(const std::vector<at::Tensor>& inputs) override;
  std::vector<models::Example> examples() const override;

  /// What the steps are, for a failing test's message.
  std::string text() const;

 private:
  using Values = std::vector<at::Tensor>;
  using Step = std::function<at::Tensor(const Values&)>;
  struct Named {
    std::string name;
    Step step;
  };

  std::int64_t pick(std::int64_t low, std::int64_t high);  ///< in [low, high]
  std::size_t any_value(
      const std::function<bool(const at::Tensor&)>& fits);  ///< values_.size() when there is none
  at::Tensor* weight(std::vector<std::int64_t> shape, bool reuse = false);
  bool add(const std::string& name, Step step);  ///< false when the step does not fit its input
  bool add_random();

  bool add_pointwise(), add_linear(), add_norm(), add_residual(), add_gate(), add_concatenation(),
      add_slice(), add_split(), add_rms_norm(), add_table(), add_layer_scale(), add_context(),
      add_excitation(), add_stack(), add_product(), add_grouped_query(), add_padding(), add_halves(),
      add_softmax();
  bool add_attention(), add_recurrent(), add_mean(), add_transpose();
  bool add_convolution(), add_pool(), add_shuffle(), add_flatten(), add_tokens();

  std::mt19937_64 random_;
  std::list<at::Tensor> parameters_;  // addresses stay: modules register them
  std::vector<Named> steps_;
  Values values_;  // meta tensors, one a step: shapes while building
  std::vector<models::Example> examples_;
};

/// Captured, with weights in which no unit is negligible.
models::Model random_model(std::uint64_t seed);

}  // namespace pollard::properties
