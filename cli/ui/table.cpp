// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cli/ui/format.h"
#include "cli/ui/text.h"
#include "graph/error.h"

namespace pollard::cli {
namespace {

constexpr int gap = 2;
constexpr int narrowest_table = 60;
constexpr int narrowest_cut_column = 10;

std::string shorten(const std::string& text, Column::Cut cut, int width) {
  if (cut == Column::Cut::Middle) return cut_middle(text, width);
  return cut == Column::Cut::End ? cut_end(text, width) : text;
}

void strip_trailing_spaces(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string markdown_field(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

int total(const std::vector<int>& widths) {
  return std::accumulate(widths.begin(), widths.end(), 0) + gap * (static_cast<int>(widths.size()) - 1);
}

}  // namespace

Cell count_cell(std::int64_t value) { return {format_count(value), std::to_string(value)}; }
Cell number_cell(double value, std::string text) { return {std::move(text), fmt::format("{}", value)}; }
Cell short_cell(double value) { return number_cell(value, format_short(value)); }
Cell bytes_cell(double bytes) { return number_cell(bytes, format_bytes(bytes)); }
Cell seconds_cell(double seconds) { return number_cell(seconds, format_seconds(seconds)); }

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<Cell> cells) {
  POLLARD_CHECK(cells.size() == columns_.size(),
                fmt::format("{} cells in a table of {}", cells.size(), columns_.size()));
  for (Cell& cell : cells) {
    cell.text = printable(cell.text);
    cell.raw = printable(cell.raw);
  }
  rows_.push_back(std::move(cells));
}

std::vector<int> Table::natural_widths() const {
  std::vector<int> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    int widest = display_width(columns_[c].title);
    for (const auto& row : rows_) widest = std::max(widest, display_width(row[c].text));
    widths.push_back(widest);
  }
  return widths;
}

// Takes columns one at a time from the widest that may be cut, so several share the loss.
bool Table::shrink(std::vector<int>& widths, int width) const {
  while (total(widths) > width) {
    int victim = -1;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const int least = std::max(narrowest_cut_column, display_width(columns_[c].title));
      const bool possible = columns_[c].cut != Column::Cut::Never && widths[c] > least;
      if (possible && (victim < 0 || widths[c] > widths[static_cast<std::size_t>(victim)]))
        victim = static_cast<int>(c);
    }
    if (victim < 0) return false;
    --widths[static_cast<std::size_t>(victim)];
  }
  return true;
}

std::string Table::line(const std::vector<std::string>& cells, const std::vector<int>& widths) const {
  std::string out;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    if (c > 0) out.append(gap, ' ');
    const std::string text = shorten(cells[c], columns_[c].cut, widths[c]);
    out += columns_[c].number ? pad_left(text, widths[c]) : pad_right(text, widths[c]);
  }
  strip_trailing_spaces(out);
  return out;
}

std::string Table::text(int width, const Theme& theme) const {
  std::vector<int> widths = natural_widths();
  const bool fits = total(widths) <= width;
  if (!fits && (width < narrowest_table || !shrink(widths, width))) return blocks(width, theme);
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  std::string out = theme.paint(theme.subject, line(titles, widths)) + "\n";
  for (const auto& row : rows_) {
    std::vector<std::string> cells;
    for (const Cell& cell : row) cells.push_back(cell.text);
    out += line(cells, widths) + "\n";
  }
  return out;
}

std::string Table::blocks(int width, const Theme& theme) const {
  int label = 0;
  for (const Column& column : columns_) label = std::max(label, display_width(column.title));
  std::string out;
  for (const auto& row : rows_) {
    if (!out.empty()) out += "\n";
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string value =
          shorten(row[c].text, columns_[c].cut, std::max(narrowest_cut_column, width - label - gap));
      std::string text = pad_right(columns_[c].title, label + gap) + value;
      strip_trailing_spaces(text);
      out += (c == 0 ? theme.paint(theme.subject, text) : text) + "\n";
    }
  }
  return out;
}

std::string Table::markdown() const {
  std::string header = "|", rule = "|", body;
  for (const Column& column : columns_) {
    header += " " + markdown_field(column.title) + " |";
    rule += column.number ? " ---: |" : " --- |";
  }
  for (const auto& row : rows_) {
    body += "|";
    for (const Cell& cell : row) body += " " + markdown_field(cell.text) + " |";
    body += "\n";
  }
  return header + "\n" + rule + "\n" + body;
}

std::string Table::csv() const {
  std::vector<std::string> fields;
  for (const Column& column : columns_) fields.push_back(csv_field(column.title));
  std::string out = join(fields, ",") + "\n";
  for (const auto& row : rows_) {
    fields.clear();
    for (const Cell& cell : row) fields.push_back(csv_field(cell.raw));
    out += join(fields, ",") + "\n";
  }
  return out;
}

std::string Table::tsv() const {
  std::string out;
  for (const auto& row : rows_) {
    std::vector<std::string> fields;
    for (const Cell& cell : row) fields.push_back(cell.raw);
    out += join(fields, "\t") + "\n";
  }
  return out;
}

std::string Table::render(TableFormat format, int width, const Theme& theme) const {
  switch (format) {
    case TableFormat::Markdown: return markdown();
    case TableFormat::Csv: return csv();
    case TableFormat::Tsv: return tsv();
    case TableFormat::Text: break;
  }
  return text(width, theme);
}

}  // namespace pollard::cli
