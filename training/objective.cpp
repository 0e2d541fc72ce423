// SPDX-License-Identifier: Apache-2.0
#include "training/objective.h"

#include <ATen/ATen.h>

#include <array>
#include <utility>

#include "graph/error.h"

namespace pollard::training {
namespace {

using Kind = Objective::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 6> kNames{{{"auto", Kind::Auto},
                                                                   {"cross-entropy", Kind::CrossEntropy},
                                                                   {"binary", Kind::Binary},
                                                                   {"mse", Kind::Mse},
                                                                   {"l1", Kind::L1},
                                                                   {"next-token", Kind::NextToken}}};
constexpr std::int64_t kIgnored = -100;

[[noreturn]] void misfit(const std::string& data, const std::string& message) {
  throw UserError(
      {.code = "E0399",
       .exit = Exit::BadFile,
       .subject = data,
       .message = message,
       .where = {},
       .why = {},
       .help = "classes are whole numbers from 0; other losses: --loss mse, l1, binary, next-token"});
}

std::string shape_of(const at::Tensor& tensor) {
  std::string out;
  for (const std::int64_t size : tensor.sizes()) out += (out.empty() ? "" : "x") + std::to_string(size);
  return out;
}

Loss cross_entropy(const std::pair<at::Tensor, at::Tensor>& rows, const Objective& objective, Kind kind) {
  const auto& [logits, labels] = rows;
  const at::Tensor counts = labels != kIgnored;
  const at::Tensor wrong = counts & ((labels < 0) | (labels >= logits.size(1)));
  if (wrong.any().item<bool>())
    misfit(objective.data,
           "a label lies outside the " + std::to_string(logits.size(1)) + " classes of the network");
  const at::Tensor sum =
      at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum, kIgnored, objective.smoothing);
  return {sum, counts.sum().item<double>(), kind};
}

Loss against_numbers(Kind kind, const Objective& objective, const at::Tensor& output,
                     const at::Tensor& target) {
  if (output.numel() != target.numel())
    misfit(objective.data, "the network gives " + shape_of(output) + ", the targets are " + shape_of(target));
  const at::Tensor wanted = target.to(output.scalar_type()).view_as(output);
  const auto n = static_cast<double>(output.size(0));
  at::Tensor mean;
  if (kind == Kind::Mse) mean = at::mse_loss(output, wanted);
  if (kind == Kind::L1) mean = at::l1_loss(output, wanted);
  if (kind == Kind::Binary) mean = at::binary_cross_entropy_with_logits(output, wanted);
  return {mean * n, n, kind};
}

Kind kind_for(const at::Tensor& target) {
  if (!target.defined()) return Kind::NextToken;
  return target.is_floating_point() ? Kind::Mse : Kind::CrossEntropy;
}

Loss against(Kind kind, const Objective& objective, const at::Tensor& output, const at::Tensor& target) {
  if (kind != Kind::CrossEntropy) return against_numbers(kind, objective, output, target);
  if (target.is_floating_point())
    misfit(objective.data, "cross-entropy takes classes, the targets are numbers");
  return cross_entropy(as_rows(output, target, objective.data), objective, kind);
}

}  // namespace

std::optional<Kind> objective_from_string(std::string_view name) {
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  return std::nullopt;
}

std::string_view to_string(Kind kind) { return kNames[static_cast<std::size_t>(kind)].first; }

std::pair<at::Tensor, at::Tensor> as_rows(const at::Tensor& logits, const at::Tensor& labels,
                                          const std::string& data) {
  const at::Tensor flat = labels.reshape({-1}).to(at::kLong);
  if (logits.dim() == labels.dim() + 1 &&
      logits.sizes().slice(0, static_cast<std::size_t>(labels.dim())) == labels.sizes())
    return {logits.reshape({-1, logits.size(-1)}), flat};
  if (logits.dim() == labels.dim() + 1 && logits.dim() > 2)
    return {logits.movedim(1, -1).reshape({-1, logits.size(1)}), flat};
  misfit(data, "the network gives " + shape_of(logits) + ", the labels are " + shape_of(labels));
}

std::pair<at::Tensor, at::Tensor> next_token_rows(const at::Tensor& logits, const at::Tensor& ids,
                                                  const std::string& data) {
  if (logits.dim() != 3 || ids.dim() != 2 || ids.is_floating_point())
    misfit(
        data,
        "there are no targets, and the network is no language model: ids in, [n, positions, vocabulary] out");
  return as_rows(logits.slice(1, 0, logits.size(1) - 1), ids.slice(1, 1), data);
}

Loss loss_of(const Objective& objective, const std::vector<at::Tensor>& outputs, const Target& target,
             const std::vector<at::Tensor>& inputs) {
  if (outputs.empty() || !outputs[0].is_floating_point())
    misfit(objective.data, "the first output holds no numbers");
  const at::Tensor output = outputs[0].to(outputs[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  const Kind kind = objective.kind == Kind::Auto ? kind_for(target.first) : objective.kind;
  if (kind == Kind::NextToken)
    return cross_entropy(next_token_rows(output, inputs.at(0), objective.data), objective, kind);
  if (!target.first.defined()) misfit(objective.data, "the data has no targets");
  Loss loss = against(kind, objective, output, target.first);
  if (target.second.defined())
    loss.sum =
        loss.sum * target.share + against(kind, objective, output, target.second).sum * (1 - target.share);
  return loss;
}

}  // namespace pollard::training
