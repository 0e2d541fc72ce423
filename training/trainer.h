// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "training/checkpoint.h"
#include "training/evaluate.h"
#include "training/gradient_sum.h"
#include "training/options.h"

namespace pollard::training {

/// What an epoch came to.
struct EpochReport {
  std::int64_t epoch = 0, epochs = 0;  ///< from 1
  double rate = 0, loss = 0;           ///< learning rate at its end; mean training loss
  std::vector<Metrics::Figure> validation;
  double seconds = 0;        ///< of its training steps
  std::int64_t samples = 0;  ///< trained on, over all processes
  bool best = false;
  std::int64_t bad = 0;  ///< corrupt samples left out so far
};

/// Who looks on; each may be empty.
struct Observer {
  std::function<void(std::int64_t epoch, std::int64_t done, std::int64_t steps)> step;
  std::function<void(const EpochReport&)> epoch;
  std::function<void(const pruning::Plan&, const models::Model& before, const graph::Dependencies&)> pruned;
  std::function<void(const pruning::RepairReport&)> repaired;
  std::function<void(const std::string&)> note;
};

/// Trains any program: what a day of training needs around the step.
///
///     for every epoch: prune if it is time; for every batch: forwards, loss, backwards while gradients are summed over
///     the processes, penalty, clipping, optimiser, moving average; then evaluate, report, save a checkpoint
///
/// All that is random depends on the seed, the step and the sample, so that a resumed run takes the course of an unbroken
/// one bit for bit, and several processes take that of one up to rounding (dropout apart, whose masks differ).
class Trainer {
 public:
  /// `parent` teaches when given. `data` and `communicator` must outlive the trainer.
  Trainer(models::Model model, std::optional<Parent> parent, const Data& data, TrainingOptions options,
          kernels::Communicator& communicator, Observer observer = {});

  /// Returns the trained network: the moving average's weights where there is one. An interrupt saves a checkpoint and
  /// throws UserError E0515 (Exit::Interrupted).
  models::Model run();

  const TrainedModel& network() const { return *network_; }
  const Optimiser& optimiser() const { return *optimiser_; }

 private:
  void build(models::Model model);
  void resume();
  EpochReport run_epoch(Loader& loader);
  void train_epoch(Loader& loader);
  bool step(const Batch& batch);
  Loss forward(const Batch& batch, kernels::Weights& buffers);
  Target target_of(const Batch& batch, std::vector<at::Tensor>& inputs) const;
  bool agree_on_stop(double& count) const;
  void update(const kernels::Weights& buffers);
  void clip() const;
  std::vector<Metrics::Figure> validate();
  EpochReport report(double seconds, std::int64_t samples, std::int64_t bad);
  double parents_part() const;
  std::int64_t pruning_epoch(std::int64_t pruning) const;
  void prune_if_due();
  void prune(std::int64_t remaining);
  void repair(models::Model& smaller, const models::Model& before, const graph::Dependencies& d,
              const graph::Removal& removal, const pruning::CalibrationSet& samples);
  pruning::CalibrationSet calibration() const;
  Schedule schedule() const;
  void save() const;
  std::string fingerprint() const;
  void note(const std::string& text) const;

  TrainingOptions options_;
  const Data& data_;
  kernels::Communicator& communicator_;
  Observer observer_;
  Augmentation augmentation_;
  std::string input_hash_;

  std::unique_ptr<TrainedModel> network_;
  std::unique_ptr<Optimiser> optimiser_;
  std::unique_ptr<GradientSum> sum_;
  std::unique_ptr<Sparsity> sparsity_;
  std::unique_ptr<Distillation> distillation_;
  kernels::Weights average_;
  std::optional<pruning::PlanOptions> budget_;  ///< in absolute numbers

  Schedule schedule_;
  std::int64_t batches_ = 0;  ///< of an epoch
  std::int64_t epoch_ = 0, batch_ = 0, step_ = 0, pruned_ = 0;
  std::optional<double> best_;
  Metrics metrics_;  ///< of the epoch so far
  double last_saved_ = 0;
};

}  // namespace pollard::training
