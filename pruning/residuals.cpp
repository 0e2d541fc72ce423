// SPDX-License-Identifier: Apache-2.0
#include "pruning/residuals.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;

/// Ops that hand on the same numbers in the same order.
constexpr std::array<std::string_view, 12> kSameNumbers{
    "dropout", "contiguous", "clone",     "alias",   "detach",    "view",
    "reshape", "flatten",    "unflatten", "squeeze", "unsqueeze", "_unsafe_view"};

class SummandFinder {
 public:
  explicit SummandFinder(const Program& program)
      : program_(program), made_(program.values.size(), -1), readers_(program.values.size()) {
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
      for (const graph::NamedArg& named : program.ops[i].args)
        for (ValueId id : graph::values_in(named.arg)) readers_[at(id)].push_back(i);
      for (ValueId id : program.ops[i].outputs) made_[at(id)] = static_cast<std::ptrdiff_t>(i);
    }
    for (const graph::Output& output : program.outputs)
      for (ValueId id : graph::values_in(output.value)) readers_[at(id)].resize(2);  // read by others too
    for (const graph::Input& input : program.inputs) sources_[input.value] = input.source;
  }

  std::optional<Summand> find(const Layer& layer) const {
    Summand out;
    ValueId value = program_.ops[layer.dense_op].outputs[0];
    while (readers_[at(value)].size() == 1) {
      const Op& op = program_.ops[readers_[at(value)].front()];
      const std::string_view name = op.base_name();
      if (name == "add" || name == "add_") {
        out.other = other_summand(op, value);
        const bool before = out.other.index >= 0 && made_[at(out.other)] >= 0 &&
                            made_[at(out.other)] < static_cast<std::ptrdiff_t>(layer.dense_op);
        return before ? std::optional(out) : std::nullopt;
      }
      const bool norm = name == "batch_norm" && layer.kind == Layer::Kind::Convolution && out.scale.empty();
      if (norm && !read_norm(op, value, out)) return std::nullopt;
      if (!norm && std::ranges::find(kSameNumbers, name) == kSameNumbers.end()) return std::nullopt;
      value = op.outputs[0];
    }
    return std::nullopt;
  }

 private:
  static std::size_t at(ValueId id) { return static_cast<std::size_t>(id.index); }

  /// Not for sums that broadcast or weigh.
  ValueId other_summand(const Op& op, ValueId value) const {
    const auto a = op.tensor("self"), b = op.tensor("other");
    if (!a || !b || *a == *b || op.find("alpha")) return {};
    const ValueId other = *a == value ? *b : *a;
    const auto shape = program_[op.outputs[0]].sizes();
    return program_[value].sizes() == shape && program_[other].sizes() == shape ? other : ValueId{};
  }

  bool read_norm(const Op& op, ValueId value, Summand& out) const {
    const auto scale = op.tensor("weight"), variance = op.tensor("running_var");
    const graph::Arg* eps = op.find("eps");
    if (op.tensor("input") != value || !scale || !variance || op.bool_or("training", false)) return false;
    const auto a = sources_.find(*scale), b = sources_.find(*variance);
    if (a == sources_.end() || b == sources_.end()) return false;
    out.scale = a->second;
    out.variance = b->second;
    out.eps = eps && eps->as<double>() ? *eps->as<double>() : 1e-5;
    return true;
  }

  const Program& program_;
  std::vector<std::ptrdiff_t> made_;               ///< by which op; -1 for inputs
  std::vector<std::vector<std::size_t>> readers_;  ///< ops, with repetition
  std::map<ValueId, std::string> sources_;
};

}  // namespace

std::map<std::string, Summand> find_summands(const Program& program,
                                             const std::map<std::string, Layer>& layers) {
  const SummandFinder finder(program);
  std::map<std::string, Summand> out;
  for (const auto& [name, layer] : layers)
    if (layer.kind != Layer::Kind::Recurrent)
      if (const auto summand = finder.find(layer)) out[name] = *summand;
  return out;
}

}  // namespace pollard::pruning
