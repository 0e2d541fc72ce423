// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/world_share.h"

#include "kernels/communicator.h"

namespace pollard::pruning::fairness {

Share world_share() {
  kernels::Communicator& world = kernels::world();
  return {.index = world.rank(), .of = world.size(), .add = [&world](at::Tensor& numbers) {
            world.all_reduce(numbers);
          }};
}

}  // namespace pollard::pruning::fairness
