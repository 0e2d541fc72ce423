// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/refit_samples.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace pollard::pruning::fairness {
namespace {

std::vector<const TokenIds*> pointers_to(std::span<const TokenIds> texts) {
  std::vector<const TokenIds*> out;
  for (const TokenIds& ids : texts) out.push_back(&ids);
  return out;
}

}  // namespace

CalibrationSet refit_samples(const graph::Program& program, const std::vector<TokenIds>& texts, bool padded) {
  const TokenInputs inputs(program);
  std::size_t longest = 0;
  for (const TokenIds& ids : texts) longest = std::max(longest, ids.size());
  const auto together = static_cast<std::size_t>(inputs.fixed_batch().value_or(std::ssize(texts)));
  std::vector<std::vector<at::Tensor>> parts;
  for (std::size_t from = 0; from < texts.size(); from += together) {
    const auto part = pointers_to(std::span(texts).subspan(from, std::min(together, texts.size() - from)));
    const auto rows = std::ssize(part);
    const std::vector<at::Tensor> batch = inputs.batch(part);
    parts.resize(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::int64_t missing =
          std::max<std::int64_t>(0, static_cast<std::int64_t>(longest) - batch[i].size(1));
      parts[i].push_back(at::constant_pad_nd(batch[i].narrow(0, 0, rows), {0, missing}));
    }
  }
  CalibrationSet out;
  for (const auto& tensors : parts) out.inputs.push_back(at::cat(tensors));
  if (padded)
    out.mask = TokenInputs::mask(pointers_to(texts), out.inputs.front().size(0), out.inputs.front().size(1));
  return out;
}

std::vector<TokenIds> windows_of(const TokenIds& text, std::int64_t length) {
  std::vector<TokenIds> out;
  const auto step = std::min(static_cast<std::size_t>(length), text.size());
  for (std::size_t from = 0; step > 0 && from + step <= text.size(); from += step)
    out.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(from),
                     text.begin() + static_cast<std::ptrdiff_t>(from + step));
  return out;
}

}  // namespace pollard::pruning::fairness
