// SPDX-License-Identifier: Apache-2.0
// The .ts format of aeon and sktime: lines of @settings, @data, then channels separated by ':' and the class last.
#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "models/io/file.h"
#include "training/data/dataset.h"

namespace pollard::training {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) out.push_back(part);
  return out;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Numbers of one channel; "?" and "NaN" stand for missing ones, which become 0. False when something else is there.
bool parse_channel(const std::string& text, std::vector<float>& out) {
  for (const std::string& part : split(text, ',')) {
    const std::string number = trimmed(part);
    float value = 0;
    const auto end = std::from_chars(number.data(), number.data() + number.size(), value);
    const bool missing = number == "?" || number == "NaN";
    if (!missing && (end.ec != std::errc() || end.ptr != number.data() + number.size())) return false;
    out.push_back(missing || !std::isfinite(value) ? 0.0F : value);
  }
  return !out.empty();
}

struct Series {
  std::vector<at::Tensor> channels_by_time;  ///< [channels, time]
  std::vector<std::int64_t> labels;
  std::vector<std::string> classes;
  std::int64_t left_out = 0, longest = 0;

  bool add(const std::string& line) {
    const std::vector<std::string> parts = split(line, ':');
    if (parts.size() < 2) return false;
    const auto named = std::ranges::find(classes, trimmed(parts.back()));
    if (named == classes.end()) return false;
    std::vector<at::Tensor> channels;
    for (std::size_t c = 0; c + 1 < parts.size(); ++c) {
      std::vector<float> numbers;
      if (!parse_channel(parts[c], numbers)) return false;
      channels.push_back(at::tensor(numbers, at::kFloat));
      if (channels.back().size(0) != channels.front().size(0)) return false;
    }
    if (!channels_by_time.empty() && channels_by_time.front().size(0) != std::ssize(channels)) return false;
    channels_by_time.push_back(at::stack(channels));
    longest = std::max(longest, channels_by_time.back().size(1));
    labels.push_back(named - classes.begin());
    return true;
  }
};

void read_setting(const std::string& line, Series& series) {
  std::istringstream words(line);
  std::string key, flag;
  words >> key >> flag;
  std::ranges::transform(key, key.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (key != "@classlabel" || flag != "true") return;
  for (std::string name; words >> name;) series.classes.push_back(name);
}

Series parse(const std::filesystem::path& file, const DataOptions& options) {
  const std::vector<std::byte> bytes = models::io::read_file(file);
  std::istringstream in(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  const std::string name = file.filename().string();
  Series series;
  bool data = false;
  std::int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    line = trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    if (!data && line[0] == '@') {
      data = line.starts_with("@data");
      if (!data) read_setting(line, series);
      continue;
    }
    if (options.most > 0 && std::ssize(series.labels) == options.most) break;
    if (data && series.add(line)) continue;
    if (!options.skip_bad)
      bad_sample(name, "line " + std::to_string(number) + " is no series of a known class");
    ++series.left_out;
  }
  if (series.labels.empty()) bad_sample(name, "holds no series");
  return series;
}

/// Whether the network reads [channels, time] rather than [time, channels].
bool channels_first(const graph::Program& program, std::int64_t channels) {
  for (const graph::Input* input : program.user_inputs()) {
    const auto& shape = program[input->value].shape;
    if (shape.size() == 3) return shape[2].hint != channels && shape[1].hint == channels;
  }
  return false;
}

}  // namespace

std::unique_ptr<Dataset> read_time_series(const std::filesystem::path& file, const graph::Program& program,
                                          const DataOptions& options) {
  Series series = parse(file, options);
  for (at::Tensor& one : series.channels_by_time)
    one = at::constant_pad_nd(one, {0, series.longest - one.size(1)});
  at::Tensor all = at::stack(series.channels_by_time);
  if (!channels_first(program, all.size(1))) all = all.transpose(1, 2).contiguous();
  auto out = std::make_unique<InMemory>(std::vector<at::Tensor>{all}, at::tensor(series.labels, at::kLong));
  out->classes = series.classes;
  out->left_out = series.left_out;
  return out;
}

}  // namespace pollard::training
