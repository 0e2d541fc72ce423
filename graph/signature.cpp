// SPDX-License-Identifier: Apache-2.0
// The signature notation of graph/op_rules.h: parsed once, then applied.
#include <array>
#include <map>
#include <sstream>
#include <string>

#include "graph/error.h"
#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

struct Token {
  std::string letter;
  bool ellipsis = false;
  FreezeWhy freeze = FreezeWhy::None;
};

struct Operand {
  std::string argument;
  bool optional = false, added = false, shares_only = false;
  std::vector<Token> dims;
};

struct Signature {
  std::vector<Operand> operands;
  std::vector<std::vector<Token>> results;
};

FreezeWhy freeze_named(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(FreezeWhy::UnknownOp); ++i)
    if (to_string(static_cast<FreezeWhy>(i)) == name) return static_cast<FreezeWhy>(i);
  POLLARD_CHECK(false, "no freeze reason called " + std::string(name));
}

Token parse_token(std::string text) {
  Token token;
  if (const auto mark = text.find('!'); mark != std::string::npos) {
    token.freeze = freeze_named(text.substr(mark + 1));
    text.resize(mark);
  }
  if (text.ends_with("..")) {
    token.ellipsis = true;
    text.resize(text.size() - 2);
  }
  token.letter = text;
  return token;
}

std::vector<Token> parse_tokens(std::istringstream& in) {
  std::vector<Token> tokens;
  for (std::string word; in >> word;) tokens.push_back(parse_token(word));
  return tokens;
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> out;
  for (std::size_t at = 0;;) {
    const std::size_t next = text.find(separator, at);
    out.emplace_back(text.substr(at, next == std::string_view::npos ? next : next - at));
    if (next == std::string_view::npos) return out;
    at = next + separator.size();
  }
}

Operand parse_operand(const std::string& text) {
  std::istringstream in(text);
  Operand operand;
  in >> operand.argument;
  for (; operand.argument.front() == '+' || operand.argument.front() == '='; operand.argument.erase(0, 1))
    (operand.argument.front() == '+' ? operand.added : operand.shares_only) = true;
  if (operand.argument.back() == '?') {
    operand.optional = true;
    operand.argument.pop_back();
  }
  operand.dims = parse_tokens(in);
  return operand;
}

Signature parse(std::string_view text) {
  const auto sides = split(text, "->");
  POLLARD_CHECK(sides.size() == 2, "signature \"" + std::string(text) + "\"");
  Signature signature;
  for (const std::string& operand : split(sides[0], ","))
    signature.operands.push_back(parse_operand(operand));
  for (const std::string& result : split(sides[1], ";")) {
    std::istringstream in(result);
    signature.results.push_back(parse_tokens(in));
  }
  return signature;
}

const Signature& parsed(const OpRule& rule) {
  static std::map<const OpRule*, Signature> cache;
  auto found = cache.find(&rule);
  if (found == cache.end()) found = cache.emplace(&rule, parse(rule.signature)).first;
  return found->second;
}

/// One application of a signature to an op.
class Application {
 public:
  Application(RuleContext& context, const Signature& signature) : context_(context), signature_(signature) {}

  void bind_operands() {
    for (const Operand& operand : signature_.operands) {
      const std::string argument = present(operand);
      if (argument.empty()) continue;
      const ValueTerms& terms = context_.in(argument);
      bind(operand.dims, terms.dims);
      if (!operand.shares_only) (operand.added ? added_ : factors_).push_back(&terms);
    }
  }

  void contract() {
    const Operand& first = signature_.operands.front();
    const std::string argument = present(first);
    for (std::size_t d = 0; d < first.dims.size(); ++d)
      if (!first.dims[d].ellipsis && !in_results(first.dims[d].letter))
        context_.contract(letters_.at(first.dims[d].letter), factors_, argument,
                          flat_dim(first.dims, d, context_.rank(argument)));
  }

  void set_results() {
    for (std::size_t k = 0; k < context_.out_count() && k < signature_.results.size(); ++k) {
      std::vector<TermId> dims = result_dims(signature_.results[k], context_.out_value(k));
      std::vector<TermId> alive = context_.nonvanishing_product(dims, factors_);
      if (!added_.empty())
        for (TermId axis : context_.nonvanishing_sum(dims, added_)) alive.push_back(axis);
      context_.set(k, std::move(dims), std::move(alive));
    }
  }

  void count_macs() {
    std::vector<TermId> all;
    for (const auto& [letter, term] : letters_) all.push_back(term);
    for (const auto& [letter, terms] : ellipses_) all.insert(all.end(), terms.begin(), terms.end());
    context_.macs(1, std::move(all));
  }

 private:
  /// The name under which the op has this operand ("a/b": overloads differ), or "".
  std::string present(const Operand& operand) {
    for (const std::string& name : split(operand.argument, "/"))
      if (context_.has(name)) return name;
    if (!operand.optional) context_.malformed("no argument " + operand.argument);
    return {};
  }

  static std::size_t flat_dim(const std::vector<Token>& tokens, std::size_t at, std::size_t rank) {
    bool after = false;
    for (std::size_t i = 0; i < at; ++i) after = after || tokens[i].ellipsis;
    return after ? rank - (tokens.size() - at) : at;
  }

  bool in_results(const std::string& letter) const {
    for (const auto& result : signature_.results)
      for (const Token& token : result)
        if (token.letter == letter) return true;
    return false;
  }

  void bind(const std::vector<Token>& tokens, const std::vector<TermId>& dims) {
    std::size_t fixed = 0;
    for (const Token& token : tokens) fixed += token.ellipsis ? 0 : 1;
    const bool open = fixed < tokens.size();
    if (dims.size() < fixed || (!open && dims.size() > fixed))
      context_.malformed("an operand of rank " + std::to_string(dims.size()));
    std::size_t at = 0;
    for (const Token& token : tokens) {
      const std::size_t length = token.ellipsis ? dims.size() - fixed : 1;
      if (token.ellipsis)
        bind_ellipsis(token, std::span(dims).subspan(at, length));
      else
        bind_letter(token, dims[at]);
      at += length;
    }
  }

  void bind_letter(const Token& token, TermId term) {
    if (const auto [found, fresh] = letters_.emplace(token.letter, term); !fresh)
      context_.unify(found->second, term);
    if (token.freeze != FreezeWhy::None) context_.freeze(term, token.freeze);
  }

  void bind_ellipsis(const Token& token, std::span<const TermId> dims) {
    auto& bound = ellipses_[token.letter];
    if (token.freeze != FreezeWhy::None)
      for (TermId term : dims) context_.freeze(term, token.freeze);
    if (bound.size() < dims.size()) {
      const std::vector<TermId> shorter = std::move(bound);
      bound.assign(dims.begin(), dims.end());
      context_.broadcast(bound, shorter);
    } else {
      context_.broadcast(bound, dims);
    }
  }

  std::vector<TermId> result_dims(const std::vector<Token>& tokens, const Value& value) {
    std::vector<TermId> dims;
    for (const Token& token : tokens) {
      if (token.ellipsis) {
        for (TermId term : ellipses_[token.letter]) dims.push_back(term);
      } else if (const auto found = letters_.find(token.letter); found != letters_.end()) {
        dims.push_back(found->second);
      } else {
        if (dims.size() >= value.shape.size()) context_.malformed("too few result dimensions");
        dims.push_back(context_.frozen(value.shape[dims.size()].hint, FreezeWhy::Position));
      }
    }
    return dims;
  }

  RuleContext& context_;
  const Signature& signature_;
  std::map<std::string, TermId> letters_;
  std::map<std::string, std::vector<TermId>> ellipses_;
  std::vector<const ValueTerms*> factors_, added_;
};

}  // namespace

void apply_signature(RuleContext& context, const OpRule& rule) {
  Application application(context, parsed(rule));
  application.bind_operands();
  application.contract();
  application.set_results();
  if (rule.macs) application.count_macs();
}

}  // namespace pollard::graph
