// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/communicator.h"
#include "kernels/executor.h"

namespace pollard::training {

/// Makes batch norms behave as in training where the executor's train flag alone does not:
/// - `_native_batch_norm_legit_no_training`, what decomposed exports hold, is run as a training batch norm; its running
///   statistics are updated in place, so the weights given to the executor must be the trainer's own;
/// - with several processes every batch norm takes its statistics over the batches of all of them, so that a run is the
///   same however the global batch is split. One all-reduce of 2 C + 1 numbers forwards, one of 2 C backwards.
/// Other ops are left to the executor. `communicator` must outlive the hook.
kernels::OpHook train_batch_norm(kernels::Communicator& communicator);

}  // namespace pollard::training
