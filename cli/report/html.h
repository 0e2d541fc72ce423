// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pollard::cli::report {

/// Writes HTML and SVG. Everything that is given as text or as an attribute's value is escaped, whatever it holds: names
/// come from model files. Only constant() writes as it stands, and takes nothing but literals.
///
///     html.open("td", {{"class", "name"}}).text(parameter).close();
class Html {
 public:
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string>>;

  /// An element; closed by close(), in reverse order.
  Html& open(std::string_view tag, Attributes attributes = {});
  Html& close();
  Html& text(std::string_view content);
  /// <tag ...>content</tag>
  Html& element(std::string_view tag, std::string_view content, Attributes attributes = {});
  /// An element without content: <br>, <rect .../>.
  Html& leaf(std::string_view tag, Attributes attributes = {});

  /// Markup, style or script that the program itself brings along.
  template <std::size_t n>
  Html& constant(const char (&literal)[n]) {
    text_.append(literal, n - 1);
    return *this;
  }

  /// Throws InternalError while elements are open.
  std::string finish();

 private:
  void tag(std::string_view name, Attributes attributes, std::string_view end);

  std::string text_;
  std::vector<std::string> open_;
};

/// Text as HTML shows it: < > & and quotes escaped, control characters and bytes that are not UTF-8 made visible.
std::string escaped(std::string_view text);

}  // namespace pollard::cli::report
