// SPDX-License-Identifier: Apache-2.0
#include "cli/trade_off.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/ui/format.h"

namespace pollard::cli {
namespace {

constexpr double kWidth = 640, kHeight = 400, kLeft = 70, kRight = 20, kTop = 40, kBottom = 50;

double share_of_macs(const TradeOffPoint& p) {
  return p.before.macs > 0 ? static_cast<double>(p.after.macs) / static_cast<double>(p.before.macs) : 1;
}

bool measured(const std::vector<TradeOffPoint>& points) {
  return std::ranges::all_of(points, [](const TradeOffPoint& p) { return p.repaired.has_value(); });
}

Cell error_cell(const std::optional<double>& error) {
  return error ? number_cell(*error, fmt::format("{:.4f}", *error)) : Cell("-");
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

std::string text_at(double x, double y, const std::string& text, const char* anchor = "middle") {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-family=\"sans-serif\" "
      "font-size=\"12\">{}</text>\n",
      x, y, anchor, escaped(text));
}

/// Maps a share of 0..1 and a value of 0..top to the picture.
double x_of(double share) { return kLeft + share * (kWidth - kLeft - kRight); }
double y_of(double value, double top) { return kHeight - kBottom - value / top * (kHeight - kTop - kBottom); }

std::string axes(double top, const std::string& vertical, const std::string& title) {
  std::string out;
  for (int i = 0; i <= 4; ++i) {
    const double share = i / 4.0, y = y_of(share * top, top);
    out += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n",
                       x_of(0), y, x_of(1), y);
    out += text_at(x_of(0) - 6, y + 4, fmt::format("{:.3g}", share * top), "end");
    out += text_at(x_of(share), kHeight - kBottom + 18, fmt::format("{:g} %", 100 * share));
  }
  out += text_at(x_of(0.5), kHeight - 12, "MACs left");
  out += text_at(kLeft, 20, vertical + " - " + title, "start");
  return out;
}

std::string curve(const std::vector<TradeOffPoint>& points, double top, const char* colour, auto value) {
  std::string path, dots;
  for (const TradeOffPoint& p : points) {
    const double x = x_of(share_of_macs(p)), y = y_of(std::min(value(p), top), top);
    path += fmt::format("{:.1f},{:.1f} ", x, y);
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x, y, colour);
  }
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path,
                     colour) +
         dots;
}

}  // namespace

Table trade_off_table(const std::vector<TradeOffPoint>& points) {
  std::vector<Column> columns{
      {"ratio", true}, {"parameters", true}, {"MACs", true}, {"fewer MACs", true}, {"activations", true}};
  if (measured(points) && !points.empty()) {
    columns.push_back({"error sliced", true});
    columns.push_back({"repaired", true});
  }
  Table table(columns);
  for (const TradeOffPoint& p : points) {
    const double share = share_of_macs(p);
    std::vector<Cell> row{number_cell(p.ratio, format_fixed(p.ratio, 2)), count_cell(p.after.parameters),
                          short_cell(static_cast<double>(p.after.macs)),
                          number_cell(share > 0 ? 1 / share : 0, format_factor(share > 0 ? 1 / share : 0)),
                          bytes_cell(static_cast<double>(p.after.peak_activation_bytes))};
    if (columns.size() > 5) {
      row.push_back(error_cell(p.sliced));
      row.push_back(error_cell(p.repaired));
    }
    table.add(std::move(row));
  }
  return table;
}

Json to_json(const std::vector<TradeOffPoint>& points) {
  Json out = Json::array();
  for (const TradeOffPoint& p : points) {
    Json entry{{"ratio", p.ratio}, {"parameters", p.after.parameters}, {"macs", p.after.macs}};
    if (p.sliced) entry["error_sliced"] = *p.sliced;
    if (p.repaired) entry["error_repaired"] = *p.repaired;
    out.push_back(std::move(entry));
  }
  return out;
}

std::string trade_off_svg(const std::vector<TradeOffPoint>& points, const std::string& title) {
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:g}\" height=\"{:g}\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  if (measured(points) && !points.empty()) {
    double top = 1e-3;
    for (const TradeOffPoint& p : points) top = std::max(top, 1.1 * std::min(1.0, *p.repaired));
    out += axes(top, "output error: sliced (red), repaired (blue)", title);
    out += curve(points, top, "#c33", [](const TradeOffPoint& p) { return *p.sliced; });
    out += curve(points, top, "#26c", [](const TradeOffPoint& p) { return *p.repaired; });
  } else {
    out += axes(1, "parameters left", title);
    out += curve(points, 1, "#26c", [](const TradeOffPoint& p) {
      return static_cast<double>(p.after.parameters) /
             static_cast<double>(std::max<std::int64_t>(1, p.before.parameters));
    });
  }
  return out + "</svg>\n";
}

}  // namespace pollard::cli
