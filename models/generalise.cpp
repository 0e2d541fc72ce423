// SPDX-License-Identifier: Apache-2.0
#include "models/generalise.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "graph/error.h"

namespace pollard::models {
namespace {

using graph::Arg;
using graph::Op;
using graph::Program;
using graph::Size;
using graph::Value;
using graph::ValueId;
using Numbers = std::vector<std::int64_t>;

[[noreturn]] void refuse(const Op& op, const std::string& message, const std::string& help = {}) {
  throw UserError({.code = "E0413",
                   .exit = Exit::Unsupported,
                   .subject = op.target,
                   .message = message,
                   .where = "node '" + op.name + "'" + (op.module.empty() ? "" : " of " + op.module),
                   .why = "the network was run at several input sizes to find what depends on them",
                   .help = help});
}

/// What a later trace has of its own.
struct Later {
  Numbers sizes;                                     ///< of all values, one after the other
  std::unordered_map<std::size_t, Numbers> strides;  ///< of values that are strided in the first trace
  std::map<std::pair<std::size_t, std::size_t>, Arg>
      arguments;  ///< by op and place, where they differ from the first's
};

}  // namespace

class Generaliser::Impl {
 public:
  Impl(const PolynomialFit& fit, const std::vector<SymbolSource>& symbols) : fit_(fit), symbols_(symbols) {
    for (const SymbolSource& source : symbols) names_.push_back(source.symbol.name);
  }

  void add(Program trace) {
    if (traces_++ == 0) {
      out_ = std::move(trace);
      std::size_t sizes = 0;
      for (const Value& value : out_.values) {
        first_size_.push_back(sizes);
        sizes += value.shape.size();
      }
      return;
    }
    require_same_ops(trace);
    later_.push_back(own_numbers(trace));
  }

  Program finish() {
    POLLARD_CHECK(traces_ == fit_.points().size(), "one trace a point");
    for (std::size_t v = 0; v < out_.values.size(); ++v) merge_value(v);
    std::vector<Op> ops;
    std::swap(ops, out_.ops);
    for (const Op& op : ops) op_names_.push_back(op.name);
    for (const SymbolSource& source : symbols_) {
      read_size(source);
      out_.symbols.push_back(source.symbol);
    }
    for (std::size_t i = 0; i < ops.size(); ++i) {
      merge_arguments(ops[i], i);
      out_.ops.push_back(std::move(ops[i]));
    }
    return std::move(out_);
  }

 private:
  void require_same_ops(const Program& trace) const {
    for (std::size_t i = 0; i < std::min(trace.ops.size(), out_.ops.size()); ++i)
      if (trace.ops[i].target != out_.ops[i].target || trace.ops[i].outputs != out_.ops[i].outputs)
        refuse(out_.ops[i], "runs at one input size where another size runs " + trace.ops[i].target);
    if (trace.ops.size() != out_.ops.size())
      refuse(out_.ops.back(), "is followed by more ops at some input sizes than at others");
    POLLARD_CHECK(trace.values.size() == out_.values.size(), "equal ops make equal values");
  }

  Later own_numbers(const Program& trace) const {
    Later own;
    for (std::size_t v = 0; v < trace.values.size(); ++v) {
      const Value &first = out_.values[v], &value = trace.values[v];
      POLLARD_CHECK(value.shape.size() == first.shape.size(), "rank of " + first.name + " varies");
      for (const Size& size : value.shape) own.sizes.push_back(size.hint);
      if (!first.strides.empty()) own.strides.emplace(v, value.strides);
    }
    for (std::size_t i = 0; i < trace.ops.size(); ++i)
      for (std::size_t a = 0; a < trace.ops[i].args.size(); ++a)
        if (!(trace.ops[i].args[a].arg == out_.ops[i].args[a].arg))
          own.arguments.emplace(std::pair(i, a), trace.ops[i].args[a].arg);
    return own;
  }

  /// Fits are asked for over and over with the same few tuples of numbers.
  const std::optional<Polynomial>& polynomial(const Numbers& values) {
    auto found = fits_.find(values);
    if (found == fits_.end()) found = fits_.emplace(values, fit_.fit(values)).first;
    return found->second;
  }

  /// A number in the first trace, and what it is in the others.
  template <class Get>
  Numbers collect(std::int64_t first, Get get) const {
    Numbers out{first};
    for (const Later& trace : later_) out.push_back(get(trace));
    return out;
  }

  void merge_value(std::size_t v) {
    Value& value = out_.values[v];
    for (std::size_t d = 0; d < value.shape.size(); ++d) {
      const auto& fit = polynomial(
          collect(value.shape[d].hint, [&](const Later& t) { return t.sizes[first_size_[v] + d]; }));
      if (!fit)
        unexplained(v, d);
      else if (!fit->constant())
        value.shape[d].expr = fit->to_string(names_);
    }
    merge_strides(v);
  }

  [[noreturn]] void unexplained(std::size_t v, std::size_t d) const {
    const ValueId id{static_cast<std::int32_t>(v)};
    for (const Op& op : out_.ops)
      if (std::ranges::find(op.outputs, id) != op.outputs.end())
        refuse(op, "makes a tensor whose dimension " + std::to_string(d) +
                       " depends on the input sizes in a way that is no polynomial");
    POLLARD_CHECK(false, out_.values[v].name);
  }

  /// Strides serve only as information: those that vary without a rule are left out.
  void merge_strides(std::size_t v) {
    Value& value = out_.values[v];
    if (value.strides.empty()) return;
    for (const Later& trace : later_)
      if (trace.strides.at(v).size() != value.strides.size()) return value.strides.clear();
    std::vector<std::string> expressions;
    for (std::size_t d = 0; d < value.strides.size(); ++d) {
      const auto& fit =
          polynomial(collect(value.strides[d], [&](const Later& t) { return t.strides.at(v)[d]; }));
      if (!fit) return value.strides.clear();
      expressions.push_back(fit->constant() ? "" : fit->to_string(names_));
    }
    if (std::ranges::any_of(expressions, [](const auto& e) { return !e.empty(); }))
      value.stride_exprs = expressions;
  }

  void merge_arguments(Op& op, std::size_t index) {
    for (std::size_t a = 0; a < op.args.size(); ++a) {
      std::vector<const Arg*> same{&op.args[a].arg};
      for (const Later& trace : later_)
        if (const auto own = trace.arguments.find({index, a}); own != trace.arguments.end())
          same.push_back(&own->second);
        else
          same.push_back(&op.args[a].arg);
      op.args[a].arg = merge(same, op, op.args[a].name);
    }
  }

  Arg merge(const std::vector<const Arg*>& same, const Op& op, const std::string& name) {
    if (std::ranges::all_of(same, [&](const Arg* arg) { return *arg == *same.front(); }))
      return *same.front();
    if (same.front()->as<Arg::List>()) return merge_lists(same, op, name);
    Numbers numbers;
    for (const Arg* arg : same) {
      if (!arg->as<std::int64_t>())
        refuse(op, "argument " + name + " changes with the input sizes and is no whole number");
      numbers.push_back(*arg->as<std::int64_t>());
    }
    const auto& fit = polynomial(numbers);
    if (!fit) refuse(op, "argument " + name + " depends on the input sizes in a way that is no polynomial");
    return compute(*fit);
  }

  Arg merge_lists(const std::vector<const Arg*>& same, const Op& op, const std::string& name) {
    const std::size_t length = same.front()->as<Arg::List>()->size();
    Arg::List out;
    for (std::size_t i = 0; i < length; ++i) {
      std::vector<const Arg*> items;
      for (const Arg* arg : same) {
        const auto* list = arg->as<Arg::List>();
        if (!list || list->size() != length) refuse(op, "argument " + name + " has a length that varies");
        items.push_back(&(*list)[i]);
      }
      out.push_back(merge(items, op, name));
    }
    return out;
  }

  std::string unique(const std::string& base) {
    if (taken_.empty()) {
      for (const Value& value : out_.values) taken_.insert(value.name);
      taken_.insert(op_names_.begin(), op_names_.end());
    }
    std::string name = base;
    for (int n = 1; !taken_.insert(name).second; ++n) name = base + "_" + std::to_string(n);
    return name;
  }

  ValueId add_scalar_op(const std::string& target, std::vector<graph::NamedArg> args,
                        const Polynomial& meaning) {
    const std::string base =
        target == "aten.sym_size.int" ? "sym_size_int" : target.substr(target.find('.') + 1);
    Op op{.target = target, .args = std::move(args), .name = unique(base)};
    Value value{.name = op.name, .kind = Value::Kind::Int};
    value.scalar = {.hint = meaning.at(fit_.points().front()), .expr = meaning.to_string(names_)};
    const ValueId id = out_.add(std::move(value));
    op.outputs = {id};
    out_.ops.push_back(std::move(op));
    computed_.emplace(meaning.terms, id);
    return id;
  }

  void read_size(const SymbolSource& source) {
    Polynomial self;
    Polynomial::Exponents exponents(symbols_.size(), 0);
    exponents[static_cast<std::size_t>(&source - symbols_.data())] = 1;
    self.terms[exponents] = 1;
    add_scalar_op("aten.sym_size.int",
                  {{.name = "self", .arg = out_.user_inputs().at(source.input)->value},
                   {.name = "dim", .arg = source.dimension}},
                  self);
  }

  Arg binary(const std::string& target, const Arg& a, const Arg& b, const Polynomial& meaning) {
    return add_scalar_op(target, {{.name = "a", .arg = a}, {.name = "b", .arg = b}}, meaning);
  }

  /// The value of a polynomial: a literal, one computed earlier, or new ops before the one that needs it.
  Arg compute(const Polynomial& p) {
    if (p.constant()) return p.terms.empty() ? std::int64_t{0} : p.terms.begin()->second;
    if (const auto found = computed_.find(p.terms); found != computed_.end()) return found->second;
    if (p.terms.size() > 1) return compute_sum(p);
    const auto& [exponents, coefficient] = *p.terms.begin();
    Polynomial rest;
    if (coefficient != 1) {
      rest.terms[exponents] = 1;
      return binary("_operator.mul", coefficient, compute(rest), p);
    }
    Polynomial::Exponents factor(exponents.size(), 0), others = exponents;
    const auto first = static_cast<std::size_t>(std::ranges::find_if(exponents, [](int e) { return e > 0; }) -
                                                exponents.begin());
    factor[first] = 1;
    --others[first];
    Polynomial one;
    one.terms[factor] = 1;
    rest.terms[others] = 1;
    const Arg left = compute(one), right = compute(rest);
    return binary("_operator.mul", left, right, p);
  }

  /// The last term, the constant if there is one, is added to the rest.
  Arg compute_sum(const Polynomial& p) {
    Polynomial rest = p, last;
    last.terms.insert(rest.terms.extract(rest.terms.begin()));
    const Arg left = compute(rest);
    if (!last.constant()) return binary("_operator.add", left, compute(last), p);
    const std::int64_t number = last.terms.begin()->second;
    return number < 0 ? binary("_operator.sub", left, -number, p) : binary("_operator.add", left, number, p);
  }

  const PolynomialFit& fit_;
  const std::vector<SymbolSource>& symbols_;
  std::vector<std::string> names_;
  Program out_;  ///< first the first trace
  std::size_t traces_ = 0;
  std::vector<std::size_t> first_size_;  ///< by value: where its sizes begin in Later::sizes
  std::vector<Later> later_;
  std::vector<std::string> op_names_;
  std::map<Numbers, std::optional<Polynomial>> fits_;
  std::map<std::map<Polynomial::Exponents, std::int64_t>, ValueId> computed_;
  std::set<std::string> taken_;
};

Generaliser::Generaliser(const PolynomialFit& fit, const std::vector<SymbolSource>& symbols)
    : impl_(std::make_unique<Impl>(fit, symbols)) {}
Generaliser::~Generaliser() = default;

void Generaliser::add(Program trace) { impl_->add(std::move(trace)); }
Program Generaliser::finish() { return impl_->finish(); }

}  // namespace pollard::models
