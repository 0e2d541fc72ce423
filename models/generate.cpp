// SPDX-License-Identifier: Apache-2.0
#include "models/generate.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <random>

#include "graph/error.h"
#include "models/io/cancel.h"

namespace pollard::models {
namespace {

UserError bad_prompt(const std::string& message) {
  return UserError({.code = "E0203", .exit = Exit::Usage, .subject = "prompt", .message = message});
}

at::Tensor as_batch(const std::vector<std::int64_t>& tokens) {
  at::Tensor ids = at::empty({1, std::ssize(tokens)}, at::kLong);
  std::ranges::copy(tokens, ids.mutable_data_ptr<std::int64_t>());
  return ids;
}

std::optional<std::int64_t> longest_text(const graph::Program& program) {
  const auto inputs = program.user_inputs();
  if (inputs.empty() || program[inputs.front()->value].shape.size() != 2) return {};
  for (const graph::Symbol& symbol : program.symbols)
    if (symbol.name == program[inputs.front()->value].shape[1].expr) return symbol.max;
  return {};
}

/// Keys and values of no token yet.
std::vector<at::Tensor> empty_past(const graph::Program& step) {
  std::vector<at::Tensor> out;
  for (const graph::Input* input : step.user_inputs()) {
    const graph::Value& value = step[input->value];
    if (value.shape.size() != 4) continue;
    out.push_back(
        at::zeros({1, value.shape[1].hint, 0, value.shape[3].hint}, kernels::to_scalar_type(value.dtype)));
  }
  return out;
}

}  // namespace

std::int64_t choose_token(const at::Tensor& logits, const GenerateOptions& o, double draw) {
  if (o.temperature <= 0) return at::argmax(logits).item<std::int64_t>();
  const auto [sorted, order] = at::sort(logits.to(at::kDouble).div(o.temperature), true, -1, true);
  std::int64_t count = sorted.numel();
  if (o.top_k > 0) count = std::min(count, o.top_k);
  const at::Tensor chances = at::softmax(sorted.narrow(0, 0, count), -1).contiguous();
  const double* chance = chances.const_data_ptr<double>();
  double kept = 0;
  std::int64_t last = 0;
  while (last < count && (last == 0 || kept < o.top_p)) kept += chance[last++];
  double left = draw * kept;
  std::int64_t i = 0;
  while (i + 1 < last && left >= chance[i]) left -= chance[i++];
  return order[i].item<std::int64_t>();
}

Generator::Generator(const Model& model, bool cached)
    : weights_(model.weights), whole_(model.program), longest_(longest_text(model.program)) {
  vocabulary_ = model.program[check_language_model(model.program)].shape.back().hint;
  if (!cached) return;
  step_.emplace(make_step_program(model.program).program);
  prove();
}

/// Three tokens at once, then one by one, against all at once.
void Generator::prove() const {
  std::vector<std::int64_t> tokens;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(6, longest_.value_or(6)); ++i)
    tokens.push_back((7 * i + 3) % vocabulary_);
  const at::Tensor expected = whole(tokens);
  std::vector<at::Tensor> past;
  const auto start = std::min<std::ptrdiff_t>(3, std::ssize(tokens));
  at::Tensor got = step({tokens.begin(), tokens.begin() + start}, past);
  for (auto at = start; at <= std::ssize(tokens); ++at) {
    const at::Tensor want = expected.select(1, at - 1);
    const double largest = want.abs().max().item<double>();
    const double tolerance =
        expected.scalar_type() == at::kFloat || expected.scalar_type() == at::kDouble ? 1e-4 : 5e-2;
    if (!at::allclose(got.select(1, -1), want, 0, tolerance * largest))
      throw UserError({.code = "E0451",
                       .exit = Exit::Unsupported,
                       .subject = "program",
                       .message = "token by token it computes something else than at once",
                       .help = "generate with --no-cache"});
    if (at < std::ssize(tokens)) got = step({tokens[static_cast<std::size_t>(at)]}, past);
  }
}

at::Tensor Generator::whole(const std::vector<std::int64_t>& tokens) const {
  return whole_.run(weights_, {as_batch(tokens)}).front();
}

at::Tensor Generator::step(const std::vector<std::int64_t>& tokens, std::vector<at::Tensor>& past) const {
  POLLARD_CHECK(step_.has_value(), "made without a cache");
  if (past.empty()) past = empty_past(step_->program());
  std::vector<at::Tensor> inputs{as_batch(tokens)};
  inputs.insert(inputs.end(), past.begin(), past.end());
  auto results = step_->run(weights_, inputs);
  past.assign(results.begin() + 1, results.end());
  return results.front();
}

void Generator::check_prompt(const std::vector<std::int64_t>& prompt) const {
  if (prompt.empty()) throw bad_prompt("has no token");
  for (const std::int64_t id : prompt)
    if (id < 0 || id >= vocabulary_)
      throw bad_prompt("token " + std::to_string(id) + " is none of the model's " +
                       std::to_string(vocabulary_));
  if (longest_ && std::ssize(prompt) > *longest_)
    throw bad_prompt("has " + std::to_string(prompt.size()) + " tokens; the model takes at most " +
                     std::to_string(*longest_));
}

std::vector<std::int64_t> Generator::run(std::vector<std::int64_t> prompt, const GenerateOptions& options,
                                         const Seen& seen) const {
  check_prompt(prompt);
  std::mt19937_64 random(options.seed);
  std::vector<std::int64_t> made, next = prompt;
  std::vector<at::Tensor> past;
  while (std::ssize(made) < options.max_tokens) {
    io::throw_if_cancelled();
    const at::Tensor logits = options.cache && step_ ? step(next, past) : whole(prompt);
    const double draw = static_cast<double>(random() >> 11) * 0x1p-53;
    const std::int64_t token = choose_token(logits.select(1, -1).squeeze(0), options, draw);
    if (std::ranges::find(options.stop, token) != options.stop.end()) break;
    made.push_back(token);
    if (seen) seen(token);
    prompt.push_back(token);
    next = {token};
    if (longest_ && std::ssize(prompt) >= *longest_) break;
  }
  return made;
}

}  // namespace pollard::models
