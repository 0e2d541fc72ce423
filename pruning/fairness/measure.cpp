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

at::Tensor run_batch(const Knockout& knockout, const Probe& probe, std::int64_t batch, bool naive,
                     const std::function<void()>& step) {
  std::vector<at::Tensor> by_unit;
  const Knockout::Visit visit = [&](std::int64_t, const at::Tensor& output) {
    by_unit.push_back(probe.read(batch, output));
    models::io::throw_if_cancelled();
    step();
  };
  const auto run = naive ? &Knockout::run_naively : &Knockout::run;
  (knockout.*run)(probe.inputs(batch), probe.rows(batch), visit);
  return at::stack(by_unit);
}

}  // namespace

at::Tensor measure(const Knockout& knockout, const Probe& probe, const ProbeOptions& options) {
  const std::int64_t runs = std::ssize(knockout.units()) + 1, total = runs * probe.batches();
  State state(options);
  at::Tensor out;
  for (std::int64_t batch = 0, done = 0; batch < probe.batches(); ++batch) {
    const std::vector<std::int64_t> members = probe.members(batch);
    const auto step = [&] {
      ++done;
      if (options.progress) options.progress(done, total);
    };
    at::Tensor numbers;
    if (const at::Tensor* kept = state.find(batch)) {
      numbers = *kept;
      done += runs;
    } else {
      numbers = run_batch(knockout, probe, batch, options.naive, step);
      state.keep(batch, numbers);
    }
    if (!out.defined()) out = at::zeros({runs, probe.examples(), numbers.size(2)}, at::kDouble);
    out.index_copy_(1, at::tensor(members, at::kLong), numbers);
  }
  return out;
}

at::Tensor measure(const models::Model& model, const Probe& probe,
                   std::optional<at::ScalarType> compute_type) {
  const graph::Dependencies none;
  return measure(Knockout(model, none, {}, compute_type), probe)[0];
}

}  // namespace pollard::pruning::fairness
