// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/token_inputs.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "graph/error.h"
#include "kernels/executor.h"

namespace pollard::pruning::fairness {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& message) {
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = subject,
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = "prompts are measured on language models and text encoders"});
}

}  // namespace

TokenInputs::TokenInputs(const graph::Program& program) {
  for (const graph::Input* input : program.user_inputs()) {
    const graph::Value& value = program[input->value];
    if (input->constant || value.kind != graph::Value::Kind::Tensor) continue;
    const auto names = [&](const char* part) { return value.name.find(part) != std::string::npos; };
    const Kind kind = names("mask")       ? Kind::Mask
                      : names("type")     ? Kind::Types
                      : names("position") ? Kind::Positions
                                          : Kind::Ids;
    if (value.shape.size() != 2 || (kind != Kind::Mask && graph::is_floating(value.dtype)))
      refuse("input '" + value.name + "'", "does not take token ids [batch, length]");
    slots_.push_back({kind, kernels::to_scalar_type(value.dtype)});
    if (!value.shape[0].symbolic()) batch_ = value.shape[0].hint;
    if (!value.shape[1].symbolic()) {
      length_ = longest_ = value.shape[1].hint;
    } else {
      for (const graph::Symbol& symbol : program.symbols)
        if (symbol.name == value.shape[1].expr && symbol.max)
          longest_ = std::min(longest_.value_or(*symbol.max), *symbol.max);
    }
  }
  if (std::ranges::none_of(slots_, [](const Slot& s) { return s.kind == Kind::Ids; }))
    refuse("the model", "has no input for token ids");
}

at::Tensor TokenInputs::mask(std::span<const TokenIds* const> sequences, std::int64_t rows,
                             std::int64_t length) {
  at::Tensor out = at::zeros({rows, length}, at::kLong);
  for (std::int64_t b = 0; b < std::ssize(sequences); ++b)
    out[b].narrow(0, 0, std::ssize(*sequences[static_cast<std::size_t>(b)])).fill_(1);
  return out;
}

std::vector<at::Tensor> TokenInputs::batch(std::span<const TokenIds* const> sequences) const {
  std::int64_t length = length_.value_or(1);
  for (const TokenIds* ids : sequences) {
    if (longest_ && std::ssize(*ids) > *longest_)
      refuse("a text", "has " + std::to_string(ids->size()) + " tokens, the model takes at most " +
                           std::to_string(*longest_));
    length = std::max(length, static_cast<std::int64_t>(ids->size()));
  }
  const std::int64_t rows = batch_.value_or(std::ssize(sequences));
  at::Tensor ids = at::zeros({rows, length}, at::kLong);
  for (std::int64_t b = 0; b < std::ssize(sequences); ++b) {
    const TokenIds& sequence = *sequences[static_cast<std::size_t>(b)];
    ids[b].narrow(0, 0, std::ssize(sequence)).copy_(at::tensor(sequence, at::kLong));
  }
  at::Tensor shown = mask(sequences, rows, length);
  if (rows > std::ssize(sequences))
    shown.narrow(0, std::ssize(sequences), rows - std::ssize(sequences)).fill_(1);
  std::vector<at::Tensor> out;
  for (const Slot& slot : slots_) {
    const at::Tensor tensor = slot.kind == Kind::Ids    ? ids
                              : slot.kind == Kind::Mask ? shown
                              : slot.kind == Kind::Types
                                  ? at::zeros_like(ids)
                                  : at::arange(length, at::kLong).expand({rows, length}).contiguous();
    out.push_back(tensor.to(slot.dtype));
  }
  return out;
}

}  // namespace pollard::pruning::fairness
