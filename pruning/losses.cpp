// SPDX-License-Identifier: Apache-2.0
#include "pruning/losses.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <array>

#include "graph/error.h"

namespace pollard::pruning {
namespace {

constexpr std::array<std::pair<std::string_view, Loss>, 5> kLosses{{{"auto", Loss::Auto},
                                                                    {"labels", Loss::Labels},
                                                                    {"norm", Loss::Norm},
                                                                    {"sampled", Loss::Sampled},
                                                                    {"noise", Loss::Noise}}};

[[noreturn]] void misfit(const std::string& message) {
  throw UserError({.code = "E0395",
                   .exit = Exit::BadFile,
                   .subject = "labels",
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = "labels are class numbers from 0, one a sample; or choose loss=norm"});
}

at::Tensor against_labels(const at::Tensor& logits, const at::Tensor& labels) {
  if (!labels.defined())
    throw UserError({.code = "E0210",
                     .exit = Exit::Usage,
                     .subject = "loss=labels",
                     .message = "the samples carry no labels",
                     .where = {},
                     .why = {},
                     .help = "give them with --labels FILE, or choose loss=norm"});
  if (logits.dim() != 2)
    misfit("the first output has " + std::to_string(logits.dim()) + " dimensions, not [samples, classes]");
  if (labels.min().item<std::int64_t>() < 0 || labels.max().item<std::int64_t>() >= logits.size(1))
    misfit("a label lies outside the " + std::to_string(logits.size(1)) + " classes");
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
}

/// Outputs whose first dimensions are the mask's count only where it is not 0.
at::Tensor unmasked(const at::Tensor& output, const at::Tensor& mask) {
  if (!mask.defined() || output.dim() < 3 || output.size(0) != mask.size(0) || output.size(1) != mask.size(1))
    return output;
  std::vector<std::int64_t> shape(static_cast<std::size_t>(output.dim()), 1);
  shape[0] = mask.size(0);
  shape[1] = mask.size(1);
  return output * mask.ne(0).to(output.scalar_type()).view(shape);
}

at::Tensor against_samples(const at::Tensor& output, at::Generator& generator) {
  const at::Tensor logits = output.reshape({-1, output.size(-1)});
  const at::Tensor drawn = at::multinomial(logits.detach().to(at::kDouble).softmax(1), 1, false, generator);
  return at::cross_entropy_loss(logits, drawn.squeeze(1), {}, at::Reduction::Sum);
}

}  // namespace

Loss loss_from(CriterionOptions& options) { return options.pick<Loss>("loss", kLosses, Loss::Auto); }

std::string_view to_string(Loss loss) { return kLosses[static_cast<std::size_t>(loss)].first; }

at::Tensor loss_of(Loss loss, const SampleStream::Batch& batch, const std::vector<at::Tensor>& outputs,
                   std::uint64_t seed) {
  if (outputs.empty() || !outputs[0].is_floating_point()) misfit("the first output holds no numbers");
  at::Generator generator = at::detail::createCPUGenerator(batch.seed(seed));
  if (loss == Loss::Labels) return against_labels(outputs[0], batch.labels);
  if (loss == Loss::Sampled) return against_samples(outputs[0], generator);
  at::Tensor sum = at::zeros({}, outputs[0].options());
  for (const at::Tensor& output : outputs) {
    if (!output.is_floating_point() || !output.requires_grad()) continue;
    const at::Tensor y = unmasked(output, batch.mask);
    if (loss == Loss::Noise)
      sum = sum + (y * at::randn(y.sizes(), generator, at::kDouble).to(y.scalar_type())).sum();
    else
      sum = sum + 0.5 * y.square().sum();
  }
  return sum;
}

kernels::Weights with_gradients(const models::Model& model) {
  std::map<const void*, at::Tensor> done;
  kernels::Weights out = model.weights;
  for (const graph::Input& input : model.program.inputs) {
    if (input.constant || input.kind != graph::Input::Kind::Parameter) continue;
    at::Tensor& weight = out.at(input.source);
    if (!weight.is_floating_point()) continue;
    auto [entry, fresh] = done.try_emplace(weight.unsafeGetTensorImpl());
    if (fresh) entry->second = weight.detach().requires_grad_(true);
    weight = entry->second;
  }
  return out;
}

}  // namespace pollard::pruning
