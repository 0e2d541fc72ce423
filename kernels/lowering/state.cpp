// SPDX-License-Identifier: Apache-2.0
#include "kernels/lowering/state.h"

#include <algorithm>

#include "graph/error.h"

namespace pollard::kernels {

using graph::Arg;
using graph::Op;
using graph::ValueId;

Lowering::Lowering(graph::Program p, Weights w, const LoweringOptions& o)
    : program(std::move(p)), weights(std::move(w)), options(o) {
  for (const graph::Value& value : program.values) names_.insert(value.name);
  for (const graph::Output& output : program.outputs)
    if (output.kind == graph::Output::Kind::BufferMutation) changing_.insert(output.target);
  for (const graph::Input& input : program.inputs)
    if (input.kind != graph::Input::Kind::User && !changing_.contains(input.source))
      constants_.emplace(input.value.index, input.source);
  settle();
}

void Lowering::settle() {
  graph::remove_dead_ops(program);
  uses_.emplace(program);
}

void Lowering::drop_unread() {
  std::set<std::string, std::less<>> read;
  std::erase_if(program.inputs, [&](const graph::Input& input) {
    if (input.kind == graph::Input::Kind::User) return false;
    const bool unread = uses().readers(input.value).empty() && !uses().is_output(input.value) &&
                        !changing_.contains(input.source);
    if (!unread) read.insert(input.source);
    return unread;
  });
  std::erase_if(weights, [&](const auto& entry) { return !read.contains(entry.first); });
}

Op* Lowering::made_by(ValueId id, std::string_view base) {
  const auto maker = uses().maker(id);
  if (!maker || op(*maker).base_name() != base) return nullptr;
  return &op(*maker);
}

bool Lowering::only_for(ValueId id, std::size_t reader) const { return uses().only_reader(id) == reader; }

Op* Lowering::made_for(ValueId id, std::size_t reader, std::string_view base) {
  return only_for(id, reader) ? made_by(id, base) : nullptr;
}

std::optional<at::Tensor> Lowering::constant(ValueId id) const {
  const auto source = constants_.find(id.index);
  if (source == constants_.end()) return std::nullopt;
  const auto tensor = weights.find(source->second);
  POLLARD_CHECK(tensor != weights.end(), "no weight named " + source->second);
  return tensor->second;
}

std::optional<at::Tensor> Lowering::float_constant(ValueId id) const {
  auto tensor = constant(id);
  const bool fits =
      tensor && tensor->layout() == at::kStrided && tensor->is_cpu() && tensor->scalar_type() == at::kFloat;
  return fits ? tensor : std::nullopt;
}

bool Lowering::is_float(ValueId id) const {
  return value(id).kind == graph::Value::Kind::Tensor && value(id).dtype == graph::DType::Float32;
}

std::string Lowering::free_name(const std::string& name) {
  std::string free = name;
  for (int i = 1; names_.contains(free) || weights.contains(free); ++i) free = name + "_" + std::to_string(i);
  names_.insert(free);
  return free;
}

ValueId Lowering::add_constant(const std::string& name, const at::Tensor& tensor) {
  graph::Value value{.name = free_name(name), .dtype = from_scalar_type(tensor.scalar_type())};
  for (std::int64_t size : tensor.sizes()) value.shape.push_back({size, ""});
  const ValueId id = program.add(std::move(value));
  make_constant(id, tensor);
  return id;
}

void Lowering::make_constant(ValueId id, const at::Tensor& tensor) {
  std::string source = "lowered." + program[id].name;
  while (weights.contains(source)) source += "_";
  const auto first_user = std::ranges::find(program.inputs, graph::Input::Kind::User, &graph::Input::kind);
  program.inputs.insert(first_user, {.value = id, .kind = graph::Input::Kind::Constant, .source = source});
  constants_.emplace(id.index, source);
  weights.emplace(source, tensor);
}

std::optional<ValueId> argument_of(Lowering& l, std::optional<ValueId> value, std::string_view base,
                                   std::string_view argument) {
  const Op* op = value ? l.made_by(*value, base) : nullptr;
  return op ? op->tensor(argument) : std::nullopt;
}

std::optional<ValueId> transposed_from(Lowering& l, std::optional<ValueId> value, std::int64_t a,
                                       std::int64_t b) {
  const Op* op = value ? l.made_by(*value, "transpose") : nullptr;
  if (!op) return std::nullopt;
  const auto rank = static_cast<std::int64_t>(l.value(*value).shape.size());
  const std::int64_t first = (op->int_or("dim0", 0) + rank) % rank,
                     second = (op->int_or("dim1", 0) + rank) % rank;
  return (first == a && second == b) || (first == b && second == a) ? op->tensor("self") : std::nullopt;
}

std::optional<double> number(const Op& op, std::string_view argument, std::optional<double> fallback) {
  const Arg* arg = op.find(argument);
  if (!arg || arg->is_none()) return fallback;
  if (const auto* real = arg->as<double>()) return *real;
  if (const auto* integer = arg->as<std::int64_t>()) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<std::vector<std::int64_t>> numbers(const Op& op, std::string_view argument, std::size_t count,
                                                 std::int64_t fallback) {
  const Arg* arg = op.find(argument);
  if (!arg || arg->is_none()) return std::vector(count, fallback);
  if (const auto* one = arg->as<std::int64_t>()) return std::vector(count, *one);
  const auto* list = arg->as<Arg::List>();
  if (!list || (list->size() != 1 && list->size() != count)) return std::nullopt;
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto* entry = (*list)[list->size() == 1 ? 0 : i].as<std::int64_t>();
    if (!entry) return std::nullopt;
    out.push_back(*entry);
  }
  return out;
}

std::string activation(const graph::Op& layer) { return *layer.find("activation")->as<std::string>(); }

Arg to_arg(const std::vector<std::int64_t>& numbers) {
  Arg::List list;
  for (std::int64_t n : numbers) list.emplace_back(n);
  return list;
}

}  // namespace pollard::kernels
