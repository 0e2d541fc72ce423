// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/labelled.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/error.h"
#include "models/io/checkpoint.h"
#include "models/io/npy.h"
#include "pruning/calibration.h"

namespace pollard::pruning::fairness {
namespace {

constexpr std::array kGaps{std::pair{Gap::EqualisedOdds, std::string_view("equalised-odds")},
                           std::pair{Gap::Accuracy, std::string_view("accuracy-gap")},
                           std::pair{Gap::TruePositive, std::string_view("tpr-gap")},
                           std::pair{Gap::FalsePositive, std::string_view("fpr-gap")}};

[[noreturn]] void misfit(const std::filesystem::path& path, const std::string& message) {
  throw UserError({.code = "E0395",
                   .exit = Exit::BadFile,
                   .subject = path.filename().string(),
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = "store \"labels\" and \"groups\" beside the inputs: one whole number an example"});
}

std::vector<std::int64_t> numbers_of(const at::Tensor& tensor) {
  const at::Tensor t = tensor.to(at::kLong).contiguous();
  return {t.data_ptr<std::int64_t>(), t.data_ptr<std::int64_t>() + t.numel()};
}

std::vector<std::int64_t> read_groups(const std::filesystem::path& path, std::int64_t examples) {
  const auto tensors = models::io::looks_like_arrays(*models::io::open_file(path))
                           ? models::io::read_arrays(path)
                           : models::io::read_checkpoint(path).tensors;
  const auto found = tensors.find("groups");
  if (found == tensors.end()) misfit(path, "has no \"groups\"");
  if (found->second.dim() != 1 || found->second.size(0) != examples || found->second.is_floating_point())
    misfit(path, "the groups are not one whole number an example");
  std::vector<std::int64_t> out = numbers_of(found->second);
  const std::int64_t last = std::ranges::max(out);
  if (std::ranges::min(out) < 0 || last < 1 || last >= examples)
    misfit(path, "the groups are not numbered 0, 1, ...");
  for (std::int64_t g = 0; g <= last; ++g)
    if (std::ranges::find(out, g) == out.end())
      misfit(path, "group " + std::to_string(g) + " has no example");
  return out;
}

/// One example as one number, so that examples can be drawn again: bits for right, truly positive, called positive.
double code(bool right, bool is, bool said) { return (right ? 1 : 0) + (is ? 2 : 0) + (said ? 4 : 0); }

GroupGap gap_of(const std::vector<std::vector<double>>& by_group) {
  std::vector<std::int64_t> predicted, label, group;
  for (std::size_t g = 0; g < by_group.size(); ++g)
    for (const double value : by_group[g]) {
      const auto bits = static_cast<int>(value);
      const bool right = (bits & 1) != 0, is = (bits & 2) != 0, said = (bits & 4) != 0;
      // Class 1 is the positive one; among the others a wrong class is 2 where the true one is 0.
      label.push_back(is ? 1 : 0);
      predicted.push_back(said ? 1 : right ? 0 : 2);
      group.push_back(static_cast<std::int64_t>(g));
    }
  return group_gap(predicted, label, group, 1);
}

double bias_by(Gap which, const GroupGap& gap) {
  switch (which) {
    case Gap::Accuracy: return gap.accuracy;
    case Gap::TruePositive: return gap.true_positive;
    case Gap::FalsePositive: return gap.false_positive;
    case Gap::EqualisedOdds: break;
  }
  return gap.equalised_odds;
}

double level_by(Gap which, const GroupRates& rates) {
  switch (which) {
    case Gap::Accuracy: return rates.accuracy;
    case Gap::TruePositive: return rates.true_positive;
    case Gap::FalsePositive: return rates.false_positive;
    case Gap::EqualisedOdds: break;
  }
  return (rates.true_positive + 1 - rates.false_positive) / 2;
}

class GroupGapMetric final : public BiasMetric {
 public:
  GroupGapMetric(const Labelled& data, Gap gap, std::int64_t positive)
      : gap_(gap),
        positive_(positive),
        labels_(data.labels),
        groups_(data.groups),
        probe_(class_probe(data.inputs)) {}

  std::string_view name() const override { return kGaps[static_cast<std::size_t>(gap_)].second; }
  const Probe& probe() const override { return *probe_; }
  std::vector<AxisBias> judge(const at::Tensor& numbers) const override {
    AxisBias out{.axis = "groups", .bias = 0, .groups = {}, .values = {}, .reading = reading()};
    out.values.resize(static_cast<std::size_t>(std::ranges::max(groups_)) + 1);
    for (std::size_t g = 0; g < out.values.size(); ++g) out.groups.push_back("group " + std::to_string(g));
    const auto* predicted = numbers.data_ptr<double>();
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      const auto said = static_cast<std::int64_t>(predicted[i]);
      out.values[static_cast<std::size_t>(groups_[i])].push_back(
          code(said == labels_[i], labels_[i] == positive_, said == positive_));
    }
    out.bias = bias_of(out.reading, out.values);
    return {out};
  }
  std::string_view caution() const override {
    return "It compares error rates on these examples and labels; not why they differ, nor whether the "
           "labels "
           "are fair.";
  }

 private:
  Reading reading() const {
    return {.level =
                [gap = gap_](std::span<const double> values) {
                  return level_by(gap, gap_of({{values.begin(), values.end()}}).groups.front());
                },
            .bias = [gap = gap_](const auto& by_group) { return bias_by(gap, gap_of(by_group)); }};
  }

  Gap gap_;
  std::int64_t positive_;
  std::vector<std::int64_t> labels_, groups_;
  std::unique_ptr<Probe> probe_;
};

class ErrorRate final : public PerformanceMetric {
 public:
  explicit ErrorRate(const Labelled& data) : labels_(data.labels), probe_(class_probe(data.inputs)) {}
  std::string_view name() const override { return "error"; }
  const Probe& probe() const override { return *probe_; }
  double judge(const at::Tensor& numbers, const at::Tensor&) const override {
    const auto* predicted = numbers.data_ptr<double>();
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < labels_.size(); ++i)
      wrong += static_cast<std::int64_t>(predicted[i]) != labels_[i] ? 1 : 0;
    return static_cast<double>(wrong) / static_cast<double>(labels_.size());
  }

 private:
  std::vector<std::int64_t> labels_;
  std::unique_ptr<Probe> probe_;
};

}  // namespace

Labelled read_labelled(const std::filesystem::path& path, const graph::Program& program) {
  CalibrationSet set = read_calibration(path, program);
  if (!set.labels.defined()) misfit(path, "has no \"labels\"");
  return {.inputs = std::move(set.inputs),
          .labels = numbers_of(set.labels),
          .groups = read_groups(path, set.labels.size(0))};
}

std::optional<Gap> gap_from_string(std::string_view name) {
  for (const auto& [gap, text] : kGaps)
    if (text == name) return gap;
  return std::nullopt;
}

std::vector<std::string> gap_names() {
  std::vector<std::string> out;
  for (const auto& [gap, text] : kGaps) out.emplace_back(text);
  return out;
}

std::unique_ptr<BiasMetric> make_group_gap(const Labelled& data, Gap gap, std::int64_t positive) {
  return std::make_unique<GroupGapMetric>(data, gap, positive);
}

std::unique_ptr<PerformanceMetric> make_error_rate(const Labelled& data) {
  return std::make_unique<ErrorRate>(data);
}

}  // namespace pollard::pruning::fairness
