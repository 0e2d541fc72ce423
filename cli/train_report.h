// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"
#include "training/trainer.h"

namespace pollard::cli {

/// "top1 93.41 %", "loss 0.2210": shares as percentages.
std::string figure_text(const training::Metrics::Figure& figure);
/// Whether it is a share of 1 that people read in percent.
bool is_share(const std::string& metric);

/// What `train` and `finetune` say: a panel of settings, one line an epoch, a bar within it. Only the first process of a
/// job speaks.
class TrainReport {
 public:
  TrainReport(Context& context, const kernels::Communicator& communicator,
              const training::TrainingOptions& options, const training::Data& data)
      : context_(context), communicator_(communicator), options_(options), data_(data) {}

  void begin(const models::Model& model, bool taught);
  training::Observer observer();
  void end(const std::string& out);

 private:
  void step(std::int64_t epoch, std::int64_t done, std::int64_t steps);
  void epoch(const training::EpochReport& report);

  Context& context_;
  const kernels::Communicator& communicator_;
  const training::TrainingOptions& options_;
  const training::Data& data_;
  std::optional<Progress> progress_;
  std::vector<training::EpochReport> epochs_;
};

}  // namespace pollard::cli
