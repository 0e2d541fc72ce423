// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "cli/bench/statistics.h"
#include "cli/ui/format.h"

namespace pollard::cli {
namespace {

constexpr double noisy = 0.05;  // of the median
constexpr double far_below_theory = 0.75;

std::string percentile_name(double p) { return fmt::format("p{:g}", p); }

/// Columns that a table has only where they tell rows apart.
struct Shown {
  bool kernels, dtype;
};

std::vector<Column> columns_of(Shown shown, const std::vector<double>& percentiles,
                               const std::vector<std::string>& last) {
  std::vector<Column> columns{{"model", false, Column::Cut::Middle}};
  if (shown.kernels) columns.push_back({"kernels"});
  if (shown.dtype) columns.push_back({"dtype"});
  columns.push_back({"batch", true});
  columns.push_back({"median", true});
  for (const double p : percentiles)
    if (p != 50) columns.push_back({percentile_name(p), true});
  columns.push_back({"rows/s", true});
  columns.push_back({"memory", true});
  for (const std::string& title : last) columns.push_back({title, true});
  return columns;
}

std::vector<Cell> first_cells(const BenchRow& row, const std::string& name, Shown shown,
                              const std::vector<double>& percentiles) {
  std::vector<Cell> cells{name};
  if (shown.kernels) cells.emplace_back(row.kernels);
  if (shown.dtype) cells.emplace_back(row.dtype);
  cells.emplace_back(row.batch);
  cells.push_back(number_cell(row.median(), format_seconds_spread(row.median(), row.half_width())));
  for (const double p : percentiles)
    if (p != 50) cells.push_back(seconds_cell(quantile(row.timing.seconds, p / 100)));
  return cells;
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

bool names_kernels(const std::vector<BenchRow>& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const BenchRow& r) { return r.kernels != "torch"; });
}

// Whether the file names alone tell the models apart.
bool file_names_differ(const std::vector<BenchRow>& rows) {
  std::set<std::string> paths, names;
  for (const BenchRow& row : rows) {
    paths.insert(row.model);
    names.insert(file_name(row.model));
  }
  return paths.size() == names.size();
}

// Three figures: 8.47, 84.7, 847, 8.5 k.
std::string format_short_figure(double value) {
  if (value >= 100) return format_short(value);
  return format_fixed(value, value >= 10 ? 1 : 2);
}

}  // namespace

double BenchRow::median() const { return quantile(timing.seconds, 0.5); }
double BenchRow::half_width() const { return median_half_width(timing.seconds); }

std::optional<double> BenchRow::realised() const {
  if (macs_ratio == 1) return std::nullopt;
  return speedup / macs_ratio;
}

Table bench_summary(const std::vector<BenchRow>& rows, const std::vector<double>& percentiles) {
  const Shown shown{names_kernels(rows), std::any_of(rows.begin(), rows.end(),
                                                     [](const BenchRow& r) { return r.dtype != "own"; })};
  Table table(columns_of(shown, percentiles, {"vs first"}));
  const bool short_names = file_names_differ(rows);
  for (const BenchRow& row : rows) {
    std::vector<Cell> cells =
        first_cells(row, short_names ? file_name(row.model) : row.model, shown, percentiles);
    cells.push_back(number_cell(row.rows_per_second(), format_short_figure(row.rows_per_second())));
    cells.push_back(bytes_cell(static_cast<double>(row.timing.peak_bytes)));
    std::string speed = format_factor(row.speedup);
    if (row.realised()) speed += " of " + format_factor(row.macs_ratio);
    cells.push_back(number_cell(row.speedup, speed));
    table.add(std::move(cells));
  }
  return table;
}

Table bench_table(const std::vector<BenchRow>& rows, const std::vector<double>& percentiles) {
  const Shown shown{names_kernels(rows), true};
  Table table(columns_of(shown, percentiles, {"vs first", "in theory", "realised"}));
  for (const BenchRow& row : rows) {
    std::vector<Cell> cells = first_cells(row, row.model, shown, percentiles);
    const double spread = row.rows_per_second() * row.half_width() / row.median();
    const auto realised = row.realised();
    cells.push_back(number_cell(row.rows_per_second(), format_spread(row.rows_per_second(), spread)));
    cells.push_back(bytes_cell(static_cast<double>(row.timing.peak_bytes)));
    cells.push_back(number_cell(row.speedup, format_factor(row.speedup)));
    cells.push_back(number_cell(row.macs_ratio, format_factor(row.macs_ratio)));
    cells.push_back(realised ? number_cell(*realised, fmt::format("{:.0f} %", 100 * *realised)) : Cell("-"));
    table.add(std::move(cells));
  }
  return table;
}

Json to_json(const BenchRow& row, const std::vector<double>& percentiles) {
  Json quantiles = Json::object();
  for (const double p : percentiles) quantiles[percentile_name(p)] = quantile(row.timing.seconds, p / 100);
  const auto realised = row.realised();
  return {{"model", row.model},
          {"kernels", row.kernels},
          {"dtype", row.dtype},
          {"batch", row.timing.rows},
          {"runs", row.timing.seconds.size()},
          {"median_s", row.median()},
          {"median_half_width_s", row.half_width()},
          {"percentiles_s", quantiles},
          {"rows_per_s", row.rows_per_second()},
          {"peak_bytes", row.timing.peak_bytes},
          {"parameters", row.cost.parameters},
          {"macs_at_example", row.cost.macs},
          {"speedup", row.speedup},
          {"theoretical_speedup", row.macs_ratio},
          {"realised", realised ? Json(*realised) : Json()}};
}

std::vector<std::string> bench_notes(const std::vector<BenchRow>& rows) {
  std::vector<std::string> notes;
  for (const BenchRow& row : rows) {
    const std::string who = fmt::format("note: {} at batch {}: ", row.model, row.batch);
    if (row.half_width() > noisy * row.median())
      notes.push_back(who +
                      "the median is uncertain by more than 5 %; a quieter machine or --repeat would help");
    const auto realised = row.realised();
    if (realised && row.macs_ratio > 1 && *realised < far_below_theory)
      notes.push_back(
          who + fmt::format("MACs fell {} but time {}; what does not shrink with the widths dominates. Try "
                            "larger batches or --round-to 8",
                            format_factor(row.macs_ratio), format_factor(row.speedup)));
  }
  return notes;
}

}  // namespace pollard::cli
