// SPDX-License-Identifier: Apache-2.0
#include "models/incremental.h"

#include <algorithm>
#include <map>
#include <set>

#include "graph/error.h"

namespace pollard::models {
namespace {

using graph::Arg;
using graph::NamedArg;
using graph::Op;
using graph::Program;
using graph::Size;
using graph::Value;
using graph::ValueId;

[[noreturn]] void refuse(const std::string& message, const Op* op = nullptr) {
  throw UserError({.code = op ? "E0451" : "E0450",
                   .exit = Exit::Unsupported,
                   .subject = op ? op->target : "program",
                   .message = message,
                   .where = op ? "node '" + op->name + "'" : "",
                   .help = op ? "generate with --no-cache" : ""});
}

/// The one input that the program of a language model has.
const graph::Input& token_input(const Program& program) {
  const auto inputs = program.user_inputs();
  const bool one = inputs.size() == 1 && !inputs.front()->constant;
  const Value* value = one ? &program[inputs.front()->value] : nullptr;
  if (!value || value->kind != Value::Kind::Tensor || value->shape.size() != 2 ||
      graph::is_floating(value->dtype))
    refuse("its input is not one tensor of token ids [B, L]");
  if (!value->shape[1].symbolic())
    refuse("it takes " + std::to_string(value->shape[1].hint) + " tokens, no other number");
  return *inputs.front();
}

class Stepper {
 public:
  explicit Stepper(const Program& whole)
      : whole_(whole), out_(whole), ids_(token_input(whole).value), length_(whole[ids_].shape[1].expr) {
    out_.ops.clear();
    tokens_.insert(ids_);
  }

  StepProgram run() {
    check_language_model(whole_);
    const auto first = std::ranges::find_if(
        whole_.ops, [](const Op& op) { return op.base_name() == "scaled_dot_product_attention"; });
    if (first == whole_.ops.end()) refuse("it has no attention over the earlier tokens");
    add_inputs();
    for (const Op& op : whole_.ops) add(op);
    set_outputs();
    out_.call = {};
    graph::check(out_);
    return {std::move(out_), caches_.size() / 2};
  }

 private:
  struct Cache {
    ValueId past, full;
  };

  /// Earlier keys and values, and the two lengths everything else is made of.
  void add_inputs() {
    for (const Op& op : whole_.ops) {
      if (op.base_name() != "scaled_dot_product_attention") continue;
      for (const char* name : {"key", "value"}) {
        const ValueId made = op.tensor(name).value();
        if (whole_[made].shape.size() != 4 || whole_[made].shape[2].expr != length_)
          refuse("its keys are not those of the tokens", &op);
        Value past = whole_[made];
        past.name = "past_" + std::to_string(caches_.size());
        past.shape[2] = {.hint = past.shape[2].hint, .expr = "past"};
        past.strides.clear();
        past.stride_exprs.clear();
        const ValueId id = out_.add(std::move(past));
        out_.inputs.push_back({.value = id, .kind = graph::Input::Kind::User});
        caches_.push_back({.past = id, .full = {}});
      }
    }
    out_.symbols.push_back({.name = "past", .min = 0, .max = {}, .assumptions = {}});
    past_ = emit_int("aten.sym_size.int", {{.name = "self", .arg = caches_.front().past},
                                           {.name = "dim", .arg = std::int64_t{2}}});
    const ValueId now = emit_int("aten.sym_size.int",
                                 {{.name = "self", .arg = ids_}, {.name = "dim", .arg = std::int64_t{1}}});
    full_ = emit_int("_operator.add", {{.name = "a", .arg = past_}, {.name = "b", .arg = now}});
  }

  void add(const Op& op) {
    if (makes_numbers(op)) return add_size(op);
    const bool of_tokens = std::ranges::any_of(op.args, [&](const NamedArg& named) {
      return std::ranges::any_of(graph::values_in(named.arg),
                                 [&](ValueId id) { return tokens_.contains(id); });
    });
    Op copy = op;
    if (of_tokens) {
      for (const ValueId id : op.outputs) tokens_.insert(id);
      if (op.base_name() == "scaled_dot_product_attention") attend(copy);
      for (NamedArg& named : copy.args)
        if (named.name != "attn_mask")
          named.arg = changed(named.arg, [&](ValueId id) { return last_rows(id, op); });
    } else {
      for (NamedArg& named : copy.args)
        named.arg = changed(named.arg, [&](ValueId id) { return at_full_length(id); });
    }
    out_.ops.push_back(std::move(copy));
  }

  bool makes_numbers(const Op& op) const {
    return !op.outputs.empty() && whole_[op.outputs.front()].kind == Value::Kind::Int;
  }

  /// A number is computed as it was, for the new tokens, and where it follows the length once more for all.
  void add_size(const Op& op) {
    out_.ops.push_back(op);
    const ValueId made = op.outputs.front();
    if (op.target == "aten.sym_size.int" && op.tensor("self") == ids_ && op.int_or("dim", 0) == 1) {
      full_of_.emplace(made, full_);
      return;
    }
    bool follows = false;
    std::vector<NamedArg> args = op.args;
    for (NamedArg& named : args)
      named.arg = changed(named.arg, [&](ValueId id) {
        const ValueId all = at_full_length(id);
        follows |= all != id;
        return all;
      });
    if (follows) full_of_.emplace(made, emit_int(op.target, std::move(args)));
  }

  ValueId at_full_length(ValueId id) const {
    const auto found = full_of_.find(id);
    return found == full_of_.end() ? id : found->second;
  }

  /// What does not depend on the tokens was made for all positions: the rows of the new ones.
  ValueId last_rows(ValueId id, const Op& reader) {
    if (tokens_.contains(id) || out_[id].kind != Value::Kind::Tensor) return id;
    const std::vector<Size> shape = out_[id].shape;
    ValueId out = id;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      const std::string& expr = shape[d].expr;
      if (expr == length_)
        out = rows(out, d);
      else if (expr.find(length_) != std::string::npos)
        refuse("a table's size follows the length in a way we do not cut", &reader);
    }
    return out;
  }

  ValueId rows(ValueId table, std::size_t dim) {
    const auto [found, fresh] = rows_.try_emplace({table, dim});
    if (fresh) {
      Value cut = out_[table];
      found->second = emit("aten.slice.Tensor", std::move(cut),
                           {{.name = "self", .arg = table},
                            {.name = "dim", .arg = static_cast<std::int64_t>(dim)},
                            {.name = "start", .arg = past_},
                            {.name = "end", .arg = full_}});
    }
    return found->second;
  }

  /// Keys and values of all positions, and which of them each new one sees.
  void attend(Op& op) {
    const std::optional<ValueId> mask = op.tensor("attn_mask");
    if (!mask && !op.bool_or("is_causal", false)) refuse("its attention sees later tokens", &op);
    if (mask && tokens_.contains(*mask)) refuse("its mask depends on the tokens", &op);
    if (mask) {
      const auto& shape = whole_[*mask].shape;
      if (shape.size() < 2 || shape.back().expr != length_) refuse("its mask has another length", &op);
      op.set("attn_mask", shape[shape.size() - 2].expr == length_ ? rows(*mask, shape.size() - 2) : *mask);
    } else {
      op.set("attn_mask", causal_mask());
      op.set("is_causal", false);
    }
    for (const char* name : {"key", "value"}) {
      Cache& cache = caches_.at(next_cache_++);
      const ValueId now = op.tensor(name).value();
      if (!tokens_.contains(now)) refuse("its keys are not those of the tokens", &op);
      cache.full = emit(
          "aten.cat.default", whole_[now],
          {{.name = "tensors", .arg = Arg::List{cache.past, now}}, {.name = "dim", .arg = std::int64_t{2}}});
      tokens_.insert(cache.full);
      op.set(name, cache.full);
    }
  }

  /// [t, T + t]: new position i sees all up to itself.
  ValueId causal_mask() {
    if (mask_) return *mask_;
    Value positions{.name = {}, .dtype = graph::DType::Int64, .shape = {whole_[ids_].shape[1]}};
    const ValueId all = emit("aten.arange.default", positions,
                             {{.name = "end", .arg = full_},
                              {.name = "dtype", .arg = graph::DType::Int64},
                              {.name = "device", .arg = whole_[ids_].device}});
    positions.shape.push_back({.hint = 1});
    const ValueId own =
        emit("aten.unsqueeze.default", positions,
             {{.name = "self", .arg = rows(all, 0)}, {.name = "dim", .arg = std::int64_t{1}}});
    positions.dtype = graph::DType::Bool;
    positions.shape[1] = positions.shape[0];
    mask_ = emit("aten.le.Tensor", positions, {{.name = "self", .arg = all}, {.name = "other", .arg = own}});
    return *mask_;
  }

  void set_outputs() {
    out_.outputs.resize(1);
    for (const Cache& cache : caches_) out_.outputs.push_back({.value = cache.full});
  }

  /// An argument with every value it mentions replaced.
  template <class Change>
  static Arg changed(const Arg& arg, Change change) {
    if (const auto* id = arg.as<ValueId>()) return change(*id);
    const auto* list = arg.as<Arg::List>();
    if (!list) return arg;
    Arg::List out;
    for (const Arg& item : *list) out.push_back(changed(item, change));
    return out;
  }

  ValueId emit(const std::string& target, Value value, std::vector<NamedArg> args) {
    const std::string name = "step_" + std::to_string(emitted_++);
    value.name = name;
    value.strides.clear();
    value.stride_exprs.clear();
    const ValueId id = out_.add(std::move(value));
    out_.ops.push_back({.target = target, .args = std::move(args), .outputs = {id}, .name = name});
    return id;
  }
  ValueId emit_int(const std::string& target, std::vector<NamedArg> args) {
    return emit(target, Value{.name = {}, .kind = Value::Kind::Int}, std::move(args));
  }

  const Program& whole_;
  Program out_;
  ValueId ids_, past_, full_;
  std::string length_;                  ///< the symbol of the tokens' number
  std::set<ValueId> tokens_;            ///< values that depend on the tokens
  std::map<ValueId, ValueId> full_of_;  ///< numbers: for the new tokens -> for all
  std::map<std::pair<ValueId, std::size_t>, ValueId> rows_;
  std::vector<Cache> caches_;
  std::optional<ValueId> mask_;
  std::size_t next_cache_ = 0;
  int emitted_ = 0;
};

}  // namespace

ValueId check_language_model(const Program& program) {
  const std::string& length = program[token_input(program).value].shape[1].expr;
  const auto* logits = program.outputs.empty() ? nullptr : program.outputs.front().value.as<ValueId>();
  if (!logits || program[*logits].shape.size() != 3 || program[*logits].shape[1].expr != length)
    refuse("its output is not logits [B, L, V]");
  return *logits;
}

StepProgram make_step_program(const Program& whole) { return Stepper(whole).run(); }

}  // namespace pollard::models
