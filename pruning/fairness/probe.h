// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pruning/fairness/knockout.h"
#include "pruning/fairness/token_inputs.h"

namespace pollard::pruning::fairness {

/// What a metric asks of a network: batches of inputs, and from the output of each a few numbers an example. Every
/// metric is then a function of the numbers of all examples, so they are measured once and judged as often as one
/// likes (subgroups, resampling).
class Probe {
 public:
  virtual ~Probe() = default;
  virtual std::int64_t examples() const = 0;
  virtual std::int64_t batches() const = 0;
  /// Which examples the batch holds, in the order of read()'s rows.
  virtual std::vector<std::int64_t> members(std::int64_t batch) const = 0;

  virtual std::vector<at::Tensor> inputs(std::int64_t batch) const;
  /// The rows of the output that are wanted (see Knockout::run).
  virtual std::optional<at::Tensor> rows(std::int64_t batch) const;
  /// f64 [members, numbers].
  virtual at::Tensor read(std::int64_t batch, const at::Tensor& output) const;

  /// Whether one run of the network is not enough, because of what it does with its own outputs (it writes a text). Then
  /// ask() is called with each network in turn, and the three functions above are not.
  virtual bool asks_networks() const { return false; }
  /// f64 [members, numbers] of a whole network.
  virtual at::Tensor ask(std::int64_t batch, const models::Model& network) const;
};

/// A sequence whose tokens from `first` on are predicted, each from all before it; first >= 1.
struct Scored {
  TokenIds ids;
  std::int64_t first = 1;
};
/// One number an example: the sum of the log-probabilities of its scored tokens. Batches hold sequences of similar
/// length and at most `tokens` tokens, padding included.
std::unique_ptr<Probe> likelihood_probe(const graph::Program& program, std::vector<Scored> sequences,
                                        std::int64_t tokens = 2048);
/// d numbers an example: the mean of an encoder's last hidden states over the text's tokens, scaled to length 1.
std::unique_ptr<Probe> embedding_probe(const graph::Program& program, std::vector<TokenIds> texts,
                                       std::int64_t tokens = 2048);
/// One number an example: the class with the largest output. `inputs`: one tensor a user input, samples along
/// dimension 0.
std::unique_ptr<Probe> class_probe(std::vector<at::Tensor> inputs, std::int64_t batch = 64);

/// One of several processes that measure together: of the units those with unit % of == index. All of them measure the
/// whole network, which costs each of `of` processes one run a batch more.
struct Share {
  std::int64_t index = 0, of = 1;
  /// Adds a tensor up over all processes, in place: an all-reduce. Every element but one is exactly 0, so the result is
  /// that of one process, bit for bit.
  std::function<void(at::Tensor&)> add = {};
  bool has(std::int64_t unit) const { return unit < 0 || unit % of == index; }
};

struct ProbeOptions {
  /// Called after each run of the network: runs done, of how many.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  /// Where finished batches are kept (.safetensors, written anew after each): a run that was cut short goes on from
  /// there. Empty: nowhere. Several processes have a file each, ".0of4" after the name.
  std::filesystem::path state;
  /// What the state belongs to: a state of anything else is refused (UserError E0393).
  std::string fingerprint;
  bool naive = false;  ///< run the whole network for every unit
  Share share = {};    ///< which units this process measures
};
/// The probe's numbers of the whole network (first) and without each unit: f64 [1 + units, examples, numbers].
/// Stops between batches with UserError E0509 on Ctrl-C.
at::Tensor measure(const Knockout& knockout, const Probe& probe, const ProbeOptions& options = {});
/// Of one network alone: f64 [examples, numbers].
at::Tensor measure(const models::Model& model, const Probe& probe,
                   std::optional<at::ScalarType> compute_type = std::nullopt);

}  // namespace pollard::pruning::fairness
