// SPDX-License-Identifier: Apache-2.0
// Probes over networks: every batch, every unit, with what is finished kept on disk.
#include <ATen/ATen.h>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/safetensors.h"
#include "pruning/fairness/probe.h"

namespace pollard::pruning::fairness {
namespace {

/// Finished batches, in memory and in a file.
class State {
 public:
  explicit State(const ProbeOptions& options) : options_(options) {
    if (options.state.empty() || !std::filesystem::exists(options.state)) return;
    const models::io::SafetensorsReader reader(models::io::open_file(options.state));
    const auto found = reader.metadata().find("pollard.fairness");
    if (found == reader.metadata().end() || found->second != options.fingerprint)
      throw UserError({.code = "E0393",
                       .exit = Exit::BadFile,
                       .subject = options.state.string(),
                       .message = "holds the state of another measurement",
                       .where = {},
                       .why = "the model, the prompts or the options are not the same",
                       .help = "give the same ones, or another file"});
    done_ = reader.read_all();
  }

  const at::Tensor* find(std::int64_t batch) const {
    const auto found = done_.find(name(batch));
    return found == done_.end() ? nullptr : &found->second;
  }
  void keep(std::int64_t batch, const at::Tensor& numbers) {
    if (options_.state.empty()) return;
    done_[name(batch)] = numbers;
    models::io::save_safetensors(options_.state, done_, {{"pollard.fairness", options_.fingerprint}}, true);
  }

 private:
  static std::string name(std::int64_t batch) { return "batch." + std::to_string(batch); }

  const ProbeOptions& options_;
  models::io::TensorMap done_;
};

/// The numbers of one batch [1 + units, members, numbers]; 0 for units of other processes.
at::Tensor run_batch(const Knockout& knockout, const Probe& probe, std::int64_t batch,
                     const ProbeOptions& options, const std::function<void()>& step) {
  at::Tensor out;
  const auto keep = [&](std::int64_t unit, const at::Tensor& numbers) {
    if (!out.defined())
      out = at::zeros({std::ssize(knockout.units()) + 1, numbers.size(0), numbers.size(1)}, at::kDouble);
    if (unit >= 0 || options.share.index == 0) out[unit + 1] = numbers;
    models::io::throw_if_cancelled();
    step();
  };
  const auto wanted = [&](std::int64_t unit) { return options.share.has(unit); };
  if (probe.asks_networks()) {
    for (std::int64_t unit = -1; unit < std::ssize(knockout.units()); ++unit)
      if (wanted(unit)) keep(unit, probe.ask(batch, knockout.without(unit)));
    return out;
  }
  const auto run = options.naive ? &Knockout::run_naively : &Knockout::run;
  (knockout.*run)(
      probe.inputs(batch), probe.rows(batch), wanted,
      [&](std::int64_t unit, const at::Tensor& output) { keep(unit, probe.read(batch, output)); });
  return out;
}

/// Runs of the network that this process makes for one batch.
std::int64_t runs_a_batch(const Knockout& knockout, const Share& share) {
  std::int64_t out = 0;
  for (std::int64_t unit = -1; unit < std::ssize(knockout.units()); ++unit) out += share.has(unit) ? 1 : 0;
  return out;
}

ProbeOptions with_own_state(ProbeOptions options) {
  const Share& share = options.share;
  if (!options.state.empty() && share.of > 1)
    options.state += "." + std::to_string(share.index) + "of" + std::to_string(share.of);
  return options;
}

}  // namespace

at::Tensor measure(const Knockout& knockout, const Probe& probe, const ProbeOptions& given) {
  const ProbeOptions options = with_own_state(given);
  const std::int64_t units = std::ssize(knockout.units()), runs = runs_a_batch(knockout, options.share);
  State state(options);
  at::Tensor out;
  for (std::int64_t batch = 0, done = 0; batch < probe.batches(); ++batch) {
    const std::vector<std::int64_t> members = probe.members(batch);
    const auto step = [&] {
      ++done;
      if (options.progress) options.progress(done, runs * probe.batches());
    };
    at::Tensor numbers;
    if (const at::Tensor* kept = state.find(batch)) {
      numbers = *kept;
      done += runs;
    } else {
      numbers = run_batch(knockout, probe, batch, options, step);
      state.keep(batch, numbers);
    }
    if (!out.defined()) out = at::zeros({1 + units, probe.examples(), numbers.size(2)}, at::kDouble);
    out.index_copy_(1, at::tensor(members, at::kLong), numbers);
  }
  if (options.share.add) options.share.add(out);
  return out;
}

at::Tensor measure(const models::Model& model, const Probe& probe,
                   std::optional<at::ScalarType> compute_type) {
  const graph::Dependencies none;
  return measure(Knockout(model, none, {}, compute_type), probe)[0];
}

}  // namespace pollard::pruning::fairness
