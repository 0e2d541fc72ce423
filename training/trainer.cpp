// SPDX-License-Identifier: Apache-2.0
// The run: epochs, reports, checkpoints. One step is in step.cpp, pruning between epochs in prune_steps.cpp.
#include "training/trainer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "pruning/limits.h"

namespace pollard::training {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void interrupted(const std::filesystem::path& checkpoint, std::int64_t epoch,
                              std::int64_t batch) {
  const std::string place = fmt::format("epoch {}, step {}", epoch + 1, batch);
  const bool saved = !checkpoint.empty();
  throw UserError(
      {.code = "E0515",
       .exit = Exit::Interrupted,
       .subject = {},
       .message = "interrupted at " + place +
                  (saved ? "; checkpoint saved: " + checkpoint.filename().string() : "; nothing was saved"),
       .where = {},
       .why = {},
       .help = saved ? "continue with the same command and --resume" : "give --checkpoint FILE"});
}

}  // namespace

std::string TrainingOptions::fingerprint() const {
  return fmt::format(
      "seed={} epochs={} batch={} optimiser={}/{}/{}/{}/{}/{}/{} schedule={}/{}/{}/{}/{}/{} loss={}/{} "
      "mixup={} clip={} "
      "average={} autocast={} augment={} sparse={}/{} distil={}/{}/{}/{}/{} prune={}/{}/{}",
      seed, epochs, batch, static_cast<int>(optimiser.kind), optimiser.momentum, optimiser.nesterov,
      optimiser.beta1, optimiser.beta2, optimiser.epsilon, optimiser.weight_decay, static_cast<int>(schedule),
      rate, warm_up, floor, period, factor, to_string(objective.kind), objective.smoothing, mixup, clip,
      average, autocast, augmentation, static_cast<int>(sparsity.kind), sparsity.strength,
      distillation.logits, distillation.temperature, distillation.hidden, distillation.attention,
      distillation.annealed, prune ? pruning::to_json(*prune) : "no", prune_steps,
      pruning::to_string(repair));
}

Trainer::Trainer(models::Model model, std::optional<Parent> parent, const Data& data, TrainingOptions options,
                 kernels::Communicator& communicator, Observer observer)
    : options_(std::move(options)),
      data_(data),
      communicator_(communicator),
      observer_(std::move(observer)),
      augmentation_(options_.augmentation),
      input_hash_(model.sha256) {
  // A resumed run takes the same course: cuDNN must not choose among algorithms that add in another order.
  if (!options_.device.is_cpu()) at::globalContext().setDeterministicCuDNN(true);
  options_.batch = std::min(options_.batch, data_.train->size());
  batches_ = data_.train->size() / options_.batch;
  schedule_ = schedule();
  if (parent) {
    distillation_ = std::make_unique<Distillation>(std::move(parent->model), options_.distillation,
                                                   communicator_, options_.device);
    distillation_->follow(model.program, std::move(parent->kept));
  }
  build(std::move(model));
  if (options_.prune) budget_ = pruning::step_toward(*options_.prune, network_->cost(), 1);
  if (options_.resume) resume();
}

Schedule Trainer::schedule() const {
  const auto steps = [&](double epochs) { return std::llround(epochs * static_cast<double>(batches_)); };
  return {.kind = options_.schedule,
          .peak = options_.rate,
          .total = options_.epochs * batches_,
          .warm_up = steps(options_.warm_up),
          .floor = options_.floor,
          .period = std::max<std::int64_t>(1, steps(options_.period)),
          .factor = options_.factor};
}

void Trainer::build(models::Model model) {
  sum_.reset();  // its hooks sit on the old weights
  network_ = std::make_unique<TrainedModel>(std::move(model), options_.device);
  optimiser_ = std::make_unique<Optimiser>(options_.optimiser, network_->parameters());
  sparsity_ = std::make_unique<Sparsity>(options_.sparsity, network_->model().program,
                                         network_->dependencies(), options_.device);
  if (communicator_.size() > 1) {
    std::vector<at::Tensor> tensors;
    for (const Optimiser::Parameter& p : optimiser_->parameters()) tensors.push_back(p.tensor);
    sum_ = std::make_unique<GradientSum>(communicator_, tensors);
  }
  average_.clear();
  if (options_.average > 0)
    for (const auto& [name, tensor] : network_->weights()) average_[name] = tensor.detach().clone();
}

void Trainer::resume() {
  Checkpoint saved = load_checkpoint(options_.checkpoint, fingerprint());
  build(std::move(saved.model));
  optimiser_->restore(saved.optimiser, saved.optimiser_steps);
  sparsity_->restore(saved.sparsity);
  if (!average_.empty())
    for (auto& [name, tensor] : average_)
      if (const auto found = saved.average.find(name); found != saved.average.end())
        tensor = found->second.to(options_.device);
  if (distillation_) {
    KeptUnits kept;
    kept.restore(std::move(saved.kept));
    distillation_->follow(network_->model().program, std::move(kept));
  }
  epoch_ = saved.epoch;
  batch_ = saved.batch;
  step_ = saved.step;
  pruned_ = saved.pruned;
  if (saved.has_best) best_ = saved.best;
  if (saved.metrics.defined()) metrics_.restore(saved.metrics);
  note(fmt::format("resumed at epoch {}, step {}", epoch_ + 1, batch_));
}

std::string Trainer::fingerprint() const {
  return options_.fingerprint() + " model=" + input_hash_.substr(0, 12);
}

void Trainer::note(const std::string& text) const {
  if (observer_.note && communicator_.first()) observer_.note(text);
}

void Trainer::save() const {
  if (options_.checkpoint.empty()) return;
  Metrics all = metrics_;
  all.reduce(communicator_);
  if (!communicator_.first()) return;
  Checkpoint c{.model = network_->snapshot(),
               .average = average_,
               .optimiser = optimiser_->state(),
               .optimiser_steps = optimiser_->steps(),
               .epoch = epoch_,
               .batch = batch_,
               .step = step_,
               .pruned = pruned_,
               .best = best_.value_or(0),
               .has_best = best_.has_value(),
               .metrics = all.state(),
               .sparsity = sparsity_->state(),
               .kept = distillation_ ? distillation_->kept().state() : std::map<std::string, at::Tensor>{},
               .fingerprint = fingerprint()};
  save_checkpoint(c, options_.checkpoint);
}

models::Model Trainer::run() {
  Loader loader(*data_.train, augmentation_, communicator_,
                {.batch = options_.batch,
                 .train = true,
                 .skip_bad = options_.skip_bad,
                 .threads = options_.loaders,
                 .seed = options_.seed});
  last_saved_ = now();
  while (epoch_ < options_.epochs) {
    const EpochReport done = run_epoch(loader);
    if (observer_.epoch && communicator_.first()) observer_.epoch(done);
    if (options_.target && !done.validation.empty()) {
      const Metrics::Figure& figure = done.validation.size() > 1 ? done.validation[1] : done.validation[0];
      if (figure.larger_is_better ? figure.value >= *options_.target : figure.value <= *options_.target)
        break;
    }
  }
  return average_.empty() ? network_->snapshot() : with_weights(network_->model(), average_);
}

EpochReport Trainer::run_epoch(Loader& loader) {
  try {
    if (batch_ == 0) prune_if_due();
    const double start = now();
    const std::int64_t first = batch_;
    train_epoch(loader);
    return report(now() - start, (batches_ - first) * options_.batch, loader.bad());
  } catch (const UserError& error) {
    if (error.exit() != Exit::Interrupted) throw;
  }
  save();
  interrupted(options_.checkpoint, epoch_, batch_);
}

void Trainer::train_epoch(Loader& loader) {
  loader.start(epoch_, batch_);
  while (const std::optional<Batch> batch = loader.next()) {
    const bool go_on = step(*batch);
    ++batch_;
    ++step_;
    if (observer_.step) observer_.step(epoch_, batch_, batches_);
    const bool timed = options_.checkpoint_seconds > 0 && now() - last_saved_ > options_.checkpoint_seconds;
    if (!go_on) models::io::throw_cancelled();
    // Clocks differ, so with several processes only the ends of epochs are everyone's.
    if (timed && communicator_.size() == 1 && batch_ < batches_) {
      save();
      last_saved_ = now();
    }
  }
}

std::vector<Metrics::Figure> Trainer::validate() {
  if (!data_.validation) return {};
  const EvaluationOptions how{.batch = options_.batch,
                              .objective = {options_.objective.kind, 0, options_.objective.data},
                              .skip_bad = options_.skip_bad,
                              .loaders = options_.loaders,
                              .autocast = options_.autocast,
                              .progress = {}};
  const kernels::Weights& weights = average_.empty() ? network_->weights() : average_;
  return evaluate(*network_, weights, *data_.validation, augmentation_, communicator_, how).figures();
}

EpochReport Trainer::report(double seconds, std::int64_t samples, std::int64_t bad) {
  const std::vector<Metrics::Figure> validation =
      validate();  // first: its interruption leaves the sums as they are
  metrics_.reduce(communicator_);
  EpochReport out{.epoch = epoch_ + 1,
                  .epochs = options_.epochs,
                  .rate = schedule_.rate(std::max<std::int64_t>(0, step_ - 1)),
                  .loss = metrics_.value("loss"),
                  .validation = validation,
                  .seconds = seconds,
                  .samples = samples,
                  .best = false,
                  .bad = bad};
  if (!validation.empty()) {
    const Metrics::Figure& figure = validation.size() > 1 ? validation[1] : validation[0];
    out.best = !best_ || (figure.larger_is_better ? figure.value > *best_ : figure.value < *best_);
    if (out.best) best_ = figure.value;
  }
  metrics_ = {};
  ++epoch_;
  batch_ = 0;
  save();
  last_saved_ = now();
  return out;
}

}  // namespace pollard::training
