// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <regex>

#include "tests/architecture/source_tree.h"

namespace pollard::tests {
namespace {

// Blanks comments, literals and preprocessor lines, keeping line breaks.
class Blanker {
 public:
  explicit Blanker(const std::string& text) : text_(text) {}

  std::string run() {
    while (at_ < text_.size()) step();
    return result_;
  }

 private:
  bool sees(std::string_view what) const { return text_.compare(at_, what.size(), what) == 0; }
  bool at_line_start() const {
    const std::size_t last = result_.find_last_not_of(" \t");
    return last == std::string::npos || result_[last] == '\n';
  }
  bool after_word() const {
    return !result_.empty() && std::isalnum(static_cast<unsigned char>(result_.back()));
  }

  void step() {
    if (sees("//"))
      blank_to("\n", 0);
    else if (sees("/*"))
      blank_to("*/", 2);
    else if (sees("R\""))
      blank_raw();
    else if (text_[at_] == '"')
      blank_quoted('"');
    else if (text_[at_] == '\'' && !after_word())
      blank_quoted('\'');  // 1'000 is no character
    else if (text_[at_] == '#' && at_line_start())
      blank_directive();
    else
      result_ += text_[at_++];
  }
  void blank(std::size_t end) {
    for (end = std::min(end, text_.size()); at_ < end; ++at_) result_ += text_[at_] == '\n' ? '\n' : ' ';
  }
  void blank_to(std::string_view end, std::size_t beyond) {
    const std::size_t found = text_.find(end, at_ + 2);
    blank(found == std::string::npos ? text_.size() : found + beyond);
  }
  void blank_raw() {
    const std::size_t open = text_.find('(', at_);
    if (open == std::string::npos) return blank(text_.size());
    const std::string close = ")" + text_.substr(at_ + 2, open - at_ - 2) + "\"";
    blank_to(close, close.size());
  }
  void blank_quoted(char quote) {
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote && text_[end] != '\n') end += text_[end] == '\\' ? 2 : 1;
    blank(end + 1);
  }
  void blank_directive() {
    std::size_t end = text_.find('\n', at_);
    while (end != std::string::npos && end > 0 && text_[end - 1] == '\\') end = text_.find('\n', end + 1);
    blank(end);
  }

  const std::string& text_;
  std::size_t at_ = 0;
  std::string result_;
};

enum class Brace { Scope, Data, MemberInit, Function };

// What a brace opens, by the text since the last statement ended.
Brace classify(const std::string& head) {
  static const std::regex scope(
      R"(^\s*(inline\s+)?(namespace|extern)\b|^\s*(template\s*<.*>\s*)?(class|struct|union|enum)\b[^()]*$)");
  static const std::regex data(R"(^[^(]*[^=!<>+\-*/]=(?!=))");
  static const std::regex lambda(R"(=\s*\[[^\]]*\]\s*(\(.*\)[^()]*)?$)");
  static const std::regex member_list(R"(\)\s*(noexcept\s*)?:[^:])");
  if (std::regex_search(head, scope)) return Brace::Scope;
  if (std::regex_search(head, lambda)) return Brace::Function;
  if (head.find("operator") == std::string::npos && std::regex_search(head, data)) return Brace::Data;
  if (head.find('(') == std::string::npos) return Brace::Data;
  const char last = head[head.find_last_not_of(" \n\t")];
  const bool names = std::isalnum(static_cast<unsigned char>(last)) || last == '_' || last == '>';
  if (names && std::regex_search(head, member_list)) return Brace::MemberInit;
  return Brace::Function;
}

std::size_t matching_brace(const std::string& text, std::size_t open) {
  int depth = 0;
  for (std::size_t at = open; at < text.size(); ++at) {
    if (text[at] == '{') ++depth;
    if (text[at] == '}' && --depth == 0) return at;
  }
  return text.size() - 1;
}

int lines_between(const std::string& text, std::size_t first, std::size_t last) {
  return static_cast<int>(std::count(text.begin() + static_cast<std::ptrdiff_t>(first),
                                     text.begin() + static_cast<std::ptrdiff_t>(last), '\n'));
}

}  // namespace

std::vector<Function> functions(const std::string& text) {
  const std::string code = Blanker(text).run();
  std::vector<Function> found;
  std::string head;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const char c = code[at];
    if (c == ';' || c == '}')
      head.clear();
    else if (c != '{')
      head += c == '\n' ? ' ' : c;
    else {
      const Brace brace = classify(head);
      const std::size_t close = matching_brace(code, at);
      if (brace == Brace::Function)
        found.push_back(
            {.first_line = 1 + lines_between(code, 0, at), .lines = 1 + lines_between(code, at, close)});
      if (brace == Brace::MemberInit)
        head += "{}";
      else
        head.clear();
      if (brace != Brace::Scope) at = close;
    }
  }
  return found;
}

}  // namespace pollard::tests
