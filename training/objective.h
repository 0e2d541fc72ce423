// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::training {

/// What training makes small.
struct Objective {
  enum class Kind : std::uint8_t {
    Auto,          ///< by the target: classes -> CrossEntropy, numbers -> Mse, none and ids in -> NextToken
    CrossEntropy,  ///< of the first output [n, classes, ...] or [n, positions, classes]; label -100 does not count
    Binary,        ///< of each output against 0 or 1, from logits
    Mse,
    L1,
    NextToken  ///< cross-entropy of output [n, t, vocabulary] at t against the input's id at t + 1
  };
  Kind kind = Kind::Auto;
  double smoothing = 0;          ///< label smoothing of cross-entropies (Szegedy et al., CVPR 2016)
  std::string data = "targets";  ///< how messages name what does not fit: the data's file
};
std::optional<Objective::Kind> objective_from_string(std::string_view name);
std::string_view to_string(Objective::Kind kind);

/// What a batch's outputs are compared with. mixup (Zhang et al., ICLR 2018): `share` of `first` and the rest of
/// `second`, when that is defined.
struct Target {
  at::Tensor first, second;
  double share = 1;
};

/// A loss as a sum and what to divide it by, so that parts of a batch can be put together.
struct Loss {
  at::Tensor sum;    ///< scalar, with its graph
  double count = 0;  ///< samples, or labels that count
  Objective::Kind kind = Objective::Kind::CrossEntropy;
};

/// Throws UserError E0399 when outputs and targets do not fit each other.
Loss loss_of(const Objective& objective, const std::vector<at::Tensor>& outputs, const Target& target,
             const std::vector<at::Tensor>& inputs);

/// Logits [n, classes] and labels [n], whatever positions lie between: what cross-entropy and accuracy look at.
std::pair<at::Tensor, at::Tensor> as_rows(const at::Tensor& logits, const at::Tensor& labels,
                                          const std::string& data = "targets");

/// The logits and labels of next-token prediction, as rows.
std::pair<at::Tensor, at::Tensor> next_token_rows(const at::Tensor& logits, const at::Tensor& ids,
                                                  const std::string& data = "targets");

}  // namespace pollard::training
