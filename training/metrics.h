// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "kernels/communicator.h"
#include "training/objective.h"

namespace pollard::training {

/// Sums up how good outputs are, batch by batch and over all processes. Every figure is an exact sum over samples, so it
/// does not depend on how they were split; kept in double.
class Metrics {
 public:
  /// Takes a batch. `reference`: the outputs of a network to be compared with, or undefined.
  void add(const Objective& objective, const std::vector<at::Tensor>& outputs, const Target& target,
           const std::vector<at::Tensor>& inputs, const at::Tensor& reference = {});
  /// Only the loss: what training itself keeps.
  void add_loss(double sum, double count);
  /// Puts together what all processes saw.
  void reduce(kernels::Communicator& communicator);

  struct Figure {
    std::string name;
    double value;
    bool larger_is_better;
  };
  /// All that apply, in a fixed order:
  ///   loss top1 top5 f1 group-gap   classes; f1 is the unweighted mean over the classes that occur, group-gap the accuracy
  ///                                 of the best class less that of the worst
  ///   perplexity                    next-token: exp(loss)
  ///   mse mae ssim                  numbers; ssim for images [n, c, h, w] of values within 0..1 (Wang et al. 2004:
  ///                                 Gaussian window 11, sigma 1.5)
  ///   fidelity                      mean cosine between outputs and the reference's
  std::vector<Figure> figures() const;
  /// NaN when there is none of this name.
  double value(const std::string& name) const;

  /// [true class, predicted class], counts; undefined without classes.
  const at::Tensor& confusion() const { return confusion_; }
  double samples() const { return count_; }

  /// As one tensor and back, for checkpoints.
  at::Tensor state() const;
  void restore(const at::Tensor& state);

 private:
  void add_rows(const at::Tensor& logits, const at::Tensor& labels);
  void add_numbers(const at::Tensor& output, const at::Tensor& target);
  std::vector<double*> sums();

  double loss_ = 0, count_ = 0;
  double rows_ = 0, top1_ = 0, top5_ = 0, next_token_ = 0;
  double squared_ = 0, absolute_ = 0, numbers_ = 0, similarity_ = 0, images_ = 0;
  double cosine_ = 0, compared_ = 0;
  at::Tensor confusion_;
};

/// Structural similarity of images [n, c, h, w], one a sample.
at::Tensor structural_similarity(const at::Tensor& a, const at::Tensor& b);

}  // namespace pollard::training
