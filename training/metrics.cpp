// SPDX-License-Identifier: Apache-2.0
#include "training/metrics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pollard::training {
namespace {

/// More classes than this have no confusion matrix: a vocabulary's would not fit.
constexpr std::int64_t kMostClasses = 1000;

/// Precision and recall in one: 2 TP / (actual + predicted), averaged over classes that occur in either.
double macro_f1(const at::Tensor& confusion) {
  const at::Tensor hits = confusion.diagonal(), both = confusion.sum(0) + confusion.sum(1);
  const at::Tensor occurs = both > 0;
  return (2 * hits / both.clamp_min(1)).masked_select(occurs).mean().item<double>();
}

double class_gap(const at::Tensor& confusion) {
  const at::Tensor actual = confusion.sum(1);
  const at::Tensor accuracy = (confusion.diagonal() / actual.clamp_min(1)).masked_select(actual > 0);
  return (accuracy.max() - accuracy.min()).item<double>();
}

at::Tensor gaussian_window() {
  const at::Tensor x = at::arange(-5, 6, at::kDouble);
  const at::Tensor g = (-x.square() / (2 * 1.5 * 1.5)).exp();
  return g / g.sum();
}

}  // namespace

at::Tensor structural_similarity(const at::Tensor& a, const at::Tensor& b) {
  const std::int64_t channels = a.size(1);
  const at::Tensor line = gaussian_window().to(a.device());
  const at::Tensor rows = line.view({1, 1, 11, 1}).expand({channels, 1, 11, 1});
  const at::Tensor columns = line.view({1, 1, 1, 11}).expand({channels, 1, 1, 11});
  const auto blur = [&](const at::Tensor& x) {
    const std::vector<std::int64_t> one{1, 1}, none{0, 0};
    return at::conv2d(at::conv2d(x, rows, {}, one, none, one, channels), columns, {}, one, none, one,
                      channels);
  };
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const at::Tensor mean_x = blur(x), mean_y = blur(y);
  const at::Tensor var_x = blur(x * x) - mean_x * mean_x, var_y = blur(y * y) - mean_y * mean_y;
  const at::Tensor both = blur(x * y) - mean_x * mean_y;
  constexpr double kOne = 0.01 * 0.01, kTwo = 0.03 * 0.03;
  const at::Tensor map = (2 * mean_x * mean_y + kOne) * (2 * both + kTwo) /
                         ((mean_x * mean_x + mean_y * mean_y + kOne) * (var_x + var_y + kTwo));
  return map.flatten(1).mean(1);
}

void Metrics::add_loss(double sum, double count) {
  loss_ += sum;
  count_ += count;
}

void Metrics::add(const Objective& objective, const std::vector<at::Tensor>& outputs, const Target& target,
                  const std::vector<at::Tensor>& inputs, const at::Tensor& reference) {
  const Loss loss = loss_of({objective.kind, 0, objective.data}, outputs, target, inputs);
  add_loss(loss.sum.item<double>(), loss.count);
  const at::Tensor output = outputs[0].detach();
  if (loss.kind == Objective::Kind::CrossEntropy) {
    const auto [logits, labels] = as_rows(output, target.first);
    add_rows(logits, labels);
  } else if (loss.kind == Objective::Kind::NextToken) {
    const auto [logits, labels] = next_token_rows(output, inputs.at(0));
    add_rows(logits, labels);
    next_token_ += loss.count;
  } else {
    add_numbers(output, target.first);
  }
  if (!reference.defined()) return;
  const at::Tensor a = output.flatten(1).to(at::kDouble), b = reference.flatten(1).to(at::kDouble);
  cosine_ += at::cosine_similarity(a, b, 1).sum().item<double>();
  compared_ += static_cast<double>(a.size(0));
}

void Metrics::add_rows(const at::Tensor& all_logits, const at::Tensor& all_labels) {
  const at::Tensor kept = all_labels.ge(0).nonzero().squeeze(1);
  const at::Tensor logits = all_logits.index_select(0, kept), labels = all_labels.index_select(0, kept);
  const std::int64_t classes = logits.size(1);
  const at::Tensor best = std::get<1>(logits.topk(std::min<std::int64_t>(5, classes), 1));
  const at::Tensor hits = best == labels.unsqueeze(1);
  rows_ += static_cast<double>(labels.size(0));
  top1_ += hits.select(1, 0).sum().item<double>();
  top5_ += hits.sum().item<double>();
  if (classes > kMostClasses) return;
  if (!confusion_.defined()) confusion_ = at::zeros({classes, classes}, at::kDouble);
  const at::Tensor cells = labels * classes + best.select(1, 0);
  confusion_ += at::bincount(cells, {}, classes * classes).view({classes, classes}).cpu();
}

void Metrics::add_numbers(const at::Tensor& output, const at::Tensor& target) {
  const at::Tensor wanted = target.view_as(output).to(at::kDouble), gap = output.to(at::kDouble) - wanted;
  squared_ += gap.square().sum().item<double>();
  absolute_ += gap.abs().sum().item<double>();
  numbers_ += static_cast<double>(gap.numel());
  // A film [n, time, c, h, w] is compared image by image.
  if (output.dim() < 4 || output.size(-1) < 11 || output.size(-2) < 11) return;
  const auto images = [](const at::Tensor& x) {
    return x.dim() == 4 ? x : x.reshape({-1, x.size(-3), x.size(-2), x.size(-1)});
  };
  const at::Tensor similar = structural_similarity(images(output), images(wanted));
  similarity_ += similar.sum().item<double>();
  images_ += static_cast<double>(similar.size(0));
}

std::vector<double*> Metrics::sums() {
  return {&loss_,     &count_,   &rows_,       &top1_,   &top5_,   &next_token_, &squared_,
          &absolute_, &numbers_, &similarity_, &images_, &cosine_, &compared_};
}

at::Tensor Metrics::state() const {
  std::vector<double> numbers;
  for (const double* sum : const_cast<Metrics*>(this)->sums()) numbers.push_back(*sum);
  return at::tensor(numbers, at::kDouble);
}

void Metrics::restore(const at::Tensor& state) {
  std::int64_t next = 0;
  for (double* sum : sums()) *sum = state[next++].item<double>();
}

void Metrics::reduce(kernels::Communicator& communicator) {
  at::Tensor all = state();
  communicator.all_reduce(all);
  restore(all);
  if (confusion_.defined()) communicator.all_reduce(confusion_);
}

std::vector<Metrics::Figure> Metrics::figures() const {
  std::vector<Figure> out;
  const auto add = [&](const char* name, double value, bool larger) { out.push_back({name, value, larger}); };
  if (count_ > 0) add("loss", loss_ / count_, false);
  if (rows_ > 0) {
    add("top1", top1_ / rows_, true);
    add("top5", top5_ / rows_, true);
  }
  if (next_token_ > 0) add("perplexity", std::exp(loss_ / count_), false);
  if (rows_ > 0 && next_token_ == 0 && confusion_.defined()) {
    add("f1", macro_f1(confusion_), true);
    add("group-gap", class_gap(confusion_), false);
  }
  if (numbers_ > 0) {
    add("mse", squared_ / numbers_, false);
    add("mae", absolute_ / numbers_, false);
  }
  if (images_ > 0) add("ssim", similarity_ / images_, true);
  if (compared_ > 0) add("fidelity", cosine_ / compared_, true);
  return out;
}

double Metrics::value(const std::string& name) const {
  for (const Figure& figure : figures())
    if (figure.name == name) return figure.value;
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace pollard::training
