// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/inputs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <cctype>

#include "graph/error.h"
#include "pruning/verify.h"

namespace pollard::cli {
namespace {

using graph::Size;

UserError misfit(const std::string& message) {
  return UserError({.code = "E0203",
                    .exit = Exit::Usage,
                    .subject = "--input",
                    .message = message,
                    .where = {},
                    .why = {},
                    .help = {}});
}

UserError fixed_batch(const std::string& shape, std::int64_t batch) {
  return UserError({.code = "E0440",
                    .exit = Exit::Unsupported,
                    .subject = fmt::format("--batch {}", batch),
                    .message = "this model was exported with a fixed batch size: its first input is " + shape,
                    .where = {},
                    .why = {},
                    .help = "leave out --batch, or export it with dynamic_shapes for dimension 0"});
}

std::vector<const graph::Value*> tensor_inputs(const graph::Program& program) {
  std::vector<const graph::Value*> values;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant && program[input->value].kind == graph::Value::Kind::Tensor)
      values.push_back(&program[input->value]);
  return values;
}

// Whether the expression uses the symbol as a whole word: "s1" is not in "s10".
bool mentions(const std::string& expr, const std::string& symbol) {
  const auto is_word = [&](std::size_t i) {
    return i < expr.size() && (std::isalnum(static_cast<unsigned char>(expr[i])) != 0 || expr[i] == '_');
  };
  for (std::size_t at = expr.find(symbol); at != std::string::npos; at = expr.find(symbol, at + 1))
    if ((at == 0 || !is_word(at - 1)) && !is_word(at + symbol.size())) return true;
  return false;
}

void check_given(const graph::Value& value, const std::vector<std::int64_t>& given) {
  bool fits = given.size() == value.shape.size();
  for (std::size_t d = 0; fits && d < given.size(); ++d)
    fits = value.shape[d].symbolic() || value.shape[d].hint == given[d];
  if (fits) return;
  std::string shape;
  for (const Size& size : value.shape)
    shape += (shape.empty() ? "" : "x") + (size.symbolic() ? size.expr : std::to_string(size.hint));
  throw misfit(fmt::format("the model's input \"{}\" is {}", value.name, shape));
}

void set_batch(const std::vector<const graph::Value*>& values, Shapes& shapes, std::int64_t batch) {
  const bool has_batch = !values.empty() && !values[0]->shape.empty();
  if (!has_batch || !values[0]->shape[0].symbolic()) {
    const std::string shape = has_batch ? std::to_string(values[0]->shape[0].hint) + "x..." : "a scalar";
    if (has_batch && values[0]->shape[0].hint == batch) return;
    throw fixed_batch(shape, batch);
  }
  const Size first = values[0]->shape[0];
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t d = 0; d < values[i]->shape.size(); ++d) {
      const Size& size = values[i]->shape[d];
      if (size.symbolic() && mentions(size.expr, first.expr)) shapes[i][d] = size.hint * batch / first.hint;
    }
}

at::Tensor drawn_from(const at::Tensor& example, const std::vector<std::int64_t>& shape,
                      at::Generator generator) {
  if (example.sizes().vec() == shape) return example;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  if (example.numel() == 0) return at::zeros(shape, example.options());
  const at::Tensor index =
      at::randint(example.numel(), {count}, generator, at::TensorOptions().dtype(at::kLong));
  return example.flatten().index_select(0, index).reshape(shape);
}

}  // namespace

Shapes input_shapes_for(const models::Model& model, const std::vector<std::vector<std::int64_t>>& given,
                        std::optional<std::int64_t> batch) {
  const auto values = tensor_inputs(model.program);
  if (!given.empty() && given.size() != values.size())
    throw misfit(fmt::format("the model takes {} inputs, {} shapes were given", values.size(), given.size()));
  Shapes shapes;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!given.empty()) check_given(*values[i], given[i]);
    shapes.push_back(given.empty() ? values[i]->sizes() : given[i]);
  }
  if (batch) set_batch(values, shapes, *batch);
  return shapes;
}

std::vector<at::Tensor> inputs_of_shapes(const models::Model& model, const Shapes& shapes,
                                         std::uint64_t seed) {
  const std::vector<at::Tensor> examples = pruning::example_inputs(model, 1, seed).at(0);
  POLLARD_CHECK(examples.size() == shapes.size(), "one shape for each example input");
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<at::Tensor> inputs;
  for (std::size_t i = 0; i < examples.size(); ++i)
    inputs.push_back(drawn_from(examples[i], shapes[i], generator));
  return inputs;
}

}  // namespace pollard::cli
