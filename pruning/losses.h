// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "pruning/criteria/options.h"
#include "pruning/sample_stream.h"

namespace pollard::pruning {

/// What gradients are taken of. Without labels the network is compared with itself, where the gradient of any distance
/// vanishes; these three do not:
enum class Loss {
  Auto,    ///< Labels when the samples have some, otherwise the criterion's own choice
  Labels,  ///< cross-entropy of the first output [samples, classes] against the labels
  Norm,    ///< half the squared norm of all floating-point outputs
  Sampled,  ///< cross-entropy against classes drawn from the first output's own softmax over its last dimension:
            ///< the squared gradients are the Fisher information
  Noise     ///< outputs times standard normal noise: squared gradients are the diagonal of J'J (Gauss-Newton)
};
Loss loss_from(CriterionOptions& options);  ///< option "loss"
std::string_view to_string(Loss loss);

/// Sum over the samples of a batch; outputs at masked positions do not count. What is drawn depends on `seed` and the batch. Throws UserError E0210 for Labels without
/// labels, E0395 where the output is no [samples, classes] or a label is no class.
at::Tensor loss_of(Loss loss, const SampleStream::Batch& batch, const std::vector<at::Tensor>& outputs,
                   std::uint64_t seed);

/// The same weights with gradients asked of every floating-point parameter; ties stay ties.
kernels::Weights with_gradients(const models::Model& model);

}  // namespace pollard::pruning
