// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/ui/theme.h"

namespace pollard::cli {

/// What a cell shows to people and what it gives to programs: "12.4 k" and "12400".
struct Cell {
  Cell(const char* shown)
      : Cell(std::string(shown)) {}  // NOLINT(google-explicit-constructor): rows of literals
  Cell(std::string shown) : text(shown), raw(std::move(shown)) {}  // NOLINT(google-explicit-constructor)
  Cell(std::string shown, std::string exact) : text(std::move(shown)), raw(std::move(exact)) {}
  std::string text, raw;
};

Cell count_cell(std::int64_t value);  ///< 855,770
Cell short_cell(double value);        ///< 126.5 M
Cell bytes_cell(double bytes);        ///< 3.4 MiB
Cell seconds_cell(double seconds);    ///< 4.21 ms
Cell number_cell(double value, std::string text);

struct Column {
  enum class Cut { Never, Middle, End };  ///< how a cell that does not fit is shortened
  std::string title;
  bool number = false;  ///< right-aligned
  Cut cut = Cut::Never;
};

enum class TableFormat { Text, Markdown, Csv, Tsv };

/// Rows of text. Cells may hold anything a file contained: they are made printable when added.
class Table {
 public:
  explicit Table(std::vector<Column> columns);
  /// As many cells as columns.
  void add(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }
  std::size_t size() const { return rows_.size(); }

  /// Text for people: two spaces between columns, no boxes. Below 60 columns, or when even shortened cells do
  /// not fit, one record a block. Every line ends with a newline.
  std::string text(int width, const Theme& theme = {}) const;
  std::string markdown() const;
  /// RFC 4180, with a header line, raw values.
  std::string csv() const;
  /// Raw values, no header: for sort, cut, awk.
  std::string tsv() const;
  std::string render(TableFormat format, int width, const Theme& theme = {}) const;

 private:
  std::vector<int> natural_widths() const;
  bool shrink(std::vector<int>& widths, int width) const;
  std::string line(const std::vector<std::string>& cells, const std::vector<int>& widths) const;
  std::string blocks(int width, const Theme& theme) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace pollard::cli
