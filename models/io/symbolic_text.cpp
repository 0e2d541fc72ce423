// SPDX-License-Identifier: Apache-2.0
#include "models/io/symbolic_text.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace pollard::models::io {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxLength = 4096;

bool is_name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A piece of an expression and how tightly it binds: 1 sum, 2 product, 3 power, 4 atom.
struct Piece {
  std::string text;
  int binding = 4;
  std::string tight(int at_least) const { return binding >= at_least ? text : "(" + text + ")"; }
};

/// Recursive descent over Name(argument, ...), names and numbers.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<std::string> parse() {
    const std::optional<Piece> piece = expression(0);
    skip_space();
    return piece && at_ == text_.size() ? std::optional(piece->text) : std::nullopt;
  }

 private:
  std::optional<Piece> expression(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    skip_space();
    const std::string_view word = take_word();
    if (word.empty()) return std::nullopt;
    if (!take('(')) return Piece{std::string(word)};
    std::vector<Piece> arguments;
    while (!take(')')) {
      if (!arguments.empty() && !take(',')) return std::nullopt;
      std::optional<Piece> argument = expression(depth + 1);
      if (!argument) return std::nullopt;
      arguments.push_back(std::move(*argument));
    }
    return combine(word, arguments);
  }

  static std::optional<Piece> combine(std::string_view function, const std::vector<Piece>& arguments) {
    if (arguments.empty()) return std::nullopt;
    if (function == "Integer" && arguments.size() == 1)
      return Piece{arguments[0].text, arguments[0].text.starts_with('-') ? 1 : 4};
    if (function == "Add") return Piece{join(arguments, " + ", 1), 1};
    if (function == "Mul") return Piece{join(arguments, "*", 2), 2};
    if (function == "Pow" && arguments.size() == 2)
      return Piece{arguments[0].tight(4) + "**" + arguments[1].tight(4), 3};
    return Piece{std::string(function) + "(" + join(arguments, ", ", 0) + ")"};
  }

  static std::string join(const std::vector<Piece>& pieces, std::string_view separator, int binding) {
    std::string out;
    for (const Piece& piece : pieces)
      out += (out.empty() ? "" : std::string(separator)) + piece.tight(binding);
    return out;
  }

  std::string_view take_word() {
    const std::size_t begin = at_;
    if (at_ + 1 < text_.size() && text_[at_] == '-' && is_digit(text_[at_ + 1])) ++at_;
    while (at_ < text_.size() && (is_name_char(text_[at_]) || text_[at_] == '.')) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  bool take(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Every Symbol('s0', positive=True, integer=True) by its name; what it says of the symbol goes to `assumptions`.
std::optional<std::string> name_symbols(std::string_view text, SymbolAssumptions& assumptions) {
  constexpr std::string_view kOpen = "Symbol('";
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t begin = text.find(kOpen, at);
    out += text.substr(at, begin - at);
    if (begin == std::string_view::npos) return out;
    const std::size_t name_at = begin + kOpen.size(), quote = text.find('\'', name_at),
                      close = text.find(')', quote);
    if (close == std::string_view::npos) return std::nullopt;
    const std::string name(text.substr(name_at, quote - name_at));
    std::string_view assumed = text.substr(quote + 1, close - quote - 1);
    if (assumed.starts_with(", ")) assumed.remove_prefix(2);
    const bool plain = std::all_of(assumed.begin(), assumed.end(), [](char c) {
      return is_name_char(c) || c == '=' || c == ',' || c == ' ';
    });
    if (name.empty() || !plain || !std::all_of(name.begin(), name.end(), is_name_char)) return std::nullopt;
    assumptions.emplace(name, assumed);
    out += name;
    at = close + 1;
  }
}

bool is_short_form(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) {
                       return is_name_char(c) ||
                              std::string_view(" ()+-*/,%<>=!&|~.").find(c) != std::string_view::npos;
                     }) &&
         text.find("__") == std::string_view::npos && text.find('.') == std::string_view::npos;
}

}  // namespace

std::optional<std::string> read_symbolic(std::string_view text, SymbolAssumptions& assumptions) {
  if (text.empty() || text.size() > kMaxLength) return std::nullopt;
  const auto named = name_symbols(text, assumptions);
  if (!named) return std::nullopt;
  const std::string short_form = Parser(*named).parse().value_or(*named);
  return is_short_form(short_form) ? std::optional(short_form) : std::nullopt;
}

std::string write_symbolic(std::string_view expression, const SymbolAssumptions& assumptions) {
  std::string out;
  for (std::size_t i = 0; i < expression.size();) {
    if (!is_name_char(expression[i])) {
      out += expression[i++];
      continue;
    }
    const std::size_t begin = i;
    while (i < expression.size() && is_name_char(expression[i])) ++i;
    const std::string word(expression.substr(begin, i - begin));
    const bool called = i < expression.size() && expression[i] == '(';
    const auto known = assumptions.find(word);
    if (is_digit(word[0]) || called || word == "True" || word == "False") {
      out += word;
    } else {
      const bool given = known != assumptions.end() && !known->second.empty();
      const std::string assumed = given            ? known->second
                                  : word[0] == 's' ? "positive=True, integer=True"
                                                   : "integer=True";
      out += "Symbol('" + word + "', " + assumed + ")";
    }
  }
  return out;
}

}  // namespace pollard::models::io
