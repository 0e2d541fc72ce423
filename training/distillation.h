// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/communicator.h"
#include "training/kept_units.h"
#include "training/trained_model.h"

namespace pollard::training {

struct DistillationOptions {
  double logits = 0.5;     ///< share of the loss that is the parent's answer; the rest is the task's
  double temperature = 4;  ///< of softened classes (Hinton, Vinyals and Dean 2015)
  double hidden = 1;     ///< weight of the distance between hidden states (FitNets, Romero et al., ICLR 2015)
  double attention = 1;  ///< weight of the divergence between attention maps (TinyBERT, Jiao et al. 2020)
  /// The parent's part falls linearly to nothing, from the last pruning to the end of the run, so that a student can become
  /// better than a parent that was not trained to the end (teacher annealing: BAM, Clark et al., ACL 2019).
  bool annealed = false;
};

/// The dense network that teaches, and where the student's units lie in it: nowhere pruned when nothing is known.
struct Parent {
  Parent(models::Model dense, KeptUnits units = {})  // NOLINT(google-explicit-constructor): a model teaches
      : model(std::move(dense)), kept(std::move(units)) {}
  models::Model model;
  KeptUnits kept;
};

/// The parent of a pruned network that carries its plan: hidden states can be compared through it. Without a plan, or
/// with one that was made for another network (a pruning in steps), states are compared where their shapes are equal.
Parent parent_of(const models::Model& student, models::Model dense);

/// A pruned network learns from its dense parent: its answers, its hidden states at the units that are left, and where its
/// attention looks. Hidden states are the sums of the residual stream, or where a network has none the inputs of its
/// layers; they are found in both programs by their names, and compared relative to their own mean square. Attention maps
/// are the softmaxes of that name, and those inside scaled_dot_product_attention, recomputed from query and key; those of a
/// student's heads are compared with those of the same heads in the parent.
/// Cost of a step: one forward pass of the parent, and the hidden states of both networks in memory.
class Distillation {
 public:
  /// `communicator`: the processes that a batch is split over; `device`: where parent and student run.
  Distillation(models::Model parent, DistillationOptions options, kernels::Communicator& communicator,
               at::Device device = at::kCPU);

  /// Which values to compare; call again after the student was pruned.
  void follow(const graph::Program& student, KeptUnits kept);
  const KeptUnits& kept() const { return kept_; }

  /// What a run of the student must have among its options, so that its states are seen.
  void watch(kernels::RunOptions& run, const graph::Program& student);
  /// After that run: the parent runs on the same inputs. Returns (1 - w logits) task + w share (logits answers + states),
  /// where w is what is left of the parent's part, 1 unless annealed, and `share` the part of the global batch that this
  /// process holds: summed over the processes, the loss of that batch.
  at::Tensor loss(const at::Tensor& task, double share, const std::vector<at::Tensor>& inputs,
                  const std::vector<at::Tensor>& outputs, double weight = 1);

  std::size_t hidden_states() const { return hidden_.size(); }
  std::size_t attention_maps() const { return maps_.size(); }

 private:
  using States = std::map<std::string, at::Tensor>;
  /// The parent's state of that name at the student's units; `dims` as KeptUnits::of() takes it.
  at::Tensor at_kept(const std::string& name, const at::Tensor& theirs, std::int64_t dims = -1) const;
  void record(kernels::RunOptions& run, const graph::Program& program, States& states) const;
  at::Tensor answers(const at::Tensor& student, const at::Tensor& parent) const;
  at::Tensor hidden(const States& parent, double share) const;
  at::Tensor attention(const States& parent) const;

  TrainedModel parent_;
  DistillationOptions options_;
  kernels::Communicator& communicator_;
  KeptUnits kept_;
  std::map<std::string, KeptUnits::Example> examples_;  ///< of the parent's values
  std::set<std::string> hidden_, maps_;                 ///< names of values
  States student_;                                      ///< of the last run
};

}  // namespace pollard::training
