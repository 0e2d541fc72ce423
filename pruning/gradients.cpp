// SPDX-License-Identifier: Apache-2.0
#include "pruning/gradients.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace pollard::pruning {

SharedWork for_each_gradient(const ScoreContext& context, const GradientOptions& options,
                             const std::function<void(const Gradients&, std::int64_t samples)>& after) {
  const SampleStream stream(context.model, context.dependencies, *context.calibration, options.batch);
  const kernels::Weights weights = with_gradients(context.model);
  kernels::RunOptions run;
  run.autograd = true;
  run.before_op = options.before_op;
  stream.run(weights, run, options.before_batch,
             [&](const SampleStream::Batch& batch, const std::vector<at::Tensor>& outputs) {
               const c10::AutoGradMode with_grad(true);
               loss_of(options.loss, batch, outputs, context.seed).backward();
               const c10::NoGradGuard no_grad;
               Gradients gradients;
               for (const graph::Input& input : context.model.program.inputs) {
                 if (input.kind != graph::Input::Kind::Parameter || input.constant || !input.tied_to.empty())
                   continue;
                 at::Tensor weight = weights.at(input.source);
                 if (!weight.grad().defined()) continue;
                 gradients[input.source] = weight.grad().detach();
                 weight.mutable_grad() = at::Tensor();
               }
               after(gradients, batch.count);
             });
  return stream.work();
}

}  // namespace pollard::pruning
