// SPDX-License-Identifier: Apache-2.0
#include "pruning/attention_to_ffn.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "graph/error.h"
#include "graph/program_edit.h"
#include "pruning/eligible.h"
#include "pruning/output_change.h"
#include "pruning/sample_stream.h"
#include "pruning/sentence_network.h"
#include "pruning/sentence_ops.h"
#include "pruning/stand_in_ops.h"

namespace pollard::pruning {

using graph::Arg;
using graph::Op;
using graph::Program;
using graph::Size;
using graph::Value;
using graph::ValueId;

namespace {

constexpr std::int64_t kRunBatch = 16;

struct Trained {
  AttentionLayer layer;
  SentenceNetwork network;
};

std::string weight_name(const AttentionLayer& layer, std::string_view parameter) {
  return layer.name + ".ff." + std::string(parameter);
}

/// The network's parameters as inputs of the program, before its user inputs.
std::vector<ValueId> add_weights(models::Model& model, const Trained& trained, std::size_t& place) {
  Program& program = model.program;
  const graph::DType dtype = program[trained.layer.x].dtype;
  std::vector<ValueId> out;
  for (const auto& [parameter, tensor] : trained.network.parameters()) {
    const std::string name = weight_name(trained.layer, parameter);
    Value value{.name = "p_" + name, .dtype = dtype, .requires_grad = true};
    std::ranges::replace(value.name, '.', '_');
    for (const std::int64_t size : tensor.sizes()) value.shape.push_back({.hint = size, .expr = {}});
    out.push_back(program.add(std::move(value)));
    program.inputs.insert(program.inputs.begin() + static_cast<std::ptrdiff_t>(place++),
                          {.value = out.back(), .kind = graph::Input::Kind::Parameter, .source = name});
    model.weights[name] = tensor.detach().to(kernels::to_scalar_type(dtype));
  }
  return out;
}

/// Names of weights that some op reads, and of those they share storage with.
std::set<std::string> weights_read(const Program& program) {
  const graph::UseIndex uses(program);
  std::set<std::string> names;
  for (const graph::Input& input : program.inputs)
    if (!uses.readers(input.value).empty()) names.insert({input.source, input.tied_to});
  return names;
}

void replace(models::Model& model, const std::vector<Trained>& trained, std::int64_t positions) {
  Program& program = model.program;
  const std::set<std::string> read_before = weights_read(program);
  std::map<std::size_t, std::vector<Op>> written;
  const auto first_user = std::ranges::find(program.inputs, graph::Input::Kind::User, &graph::Input::kind);
  auto place = static_cast<std::size_t>(first_user - program.inputs.begin());
  for (const Trained& t : trained) {
    const std::vector<ValueId> weights = add_weights(model, t, place);
    written[t.layer.op] = sentence_ops(program, t.layer, positions, weights);
    const std::string length = program[t.layer.x].shape[t.layer.sequence_first ? 0 : 1].expr;
    for (graph::Symbol& symbol : program.symbols)
      if (symbol.name == length) symbol.max = std::min(symbol.max.value_or(positions), positions);
  }
  splice(program, std::move(written));
  graph::remove_dead_ops(program);
  const std::set<std::string> read = weights_read(program);
  std::erase_if(program.inputs, [&](const graph::Input& input) {
    const bool gone = input.kind != graph::Input::Kind::User && read_before.contains(input.source) &&
                      !read.contains(input.source);
    if (gone) model.weights.erase(input.source);
    return gone;
  });
  graph::check(program);
}

[[noreturn]] void refuse_length(std::int64_t positions, const std::string& what) {
  throw UserError({.code = "E0390",
                   .exit = Exit::BadFile,
                   .subject = "--max-length",
                   .message = std::to_string(positions) + " positions are fewer than " + what,
                   .help = "give a larger --max-length, or shorter samples"});
}

/// What one attention layer reads and makes for all samples, in float32.
class Recorder {
 public:
  Recorder(const models::Model& model, const graph::Dependencies& dependencies, const CalibrationSet& samples,
           std::int64_t positions)
      : model_(model),
        samples_(samples),
        stream_(model, dependencies, samples, kRunBatch),
        positions_(positions) {}

  std::int64_t count() const { return stream_.samples(); }

  SentencePairs record(const AttentionLayer& layer) const {
    const std::int64_t width = model_.program[layer.x].shape.back().hint, out = layer.heads * layer.head_dim;
    SentencePairs pairs{.x = at::zeros({count(), positions_, width}, at::kFloat),
                        .y = at::zeros({count(), positions_, out}, at::kFloat),
                        .present = at::zeros({count(), positions_, 1}, at::kFloat)};
    const ValueId result = model_.program.ops[layer.op].outputs[0];
    const std::optional<std::size_t> input = tensor_input(model_.program, layer.x);
    at::Tensor present, to_x, to_y;
    const auto keep_x = [&](const at::Tensor& t) {
      const at::Tensor x = layer.sequence_first ? t.transpose(0, 1) : t;
      require_room(x.size(1));
      to_x.slice(1, 0, x.size(1)).copy_(x.mul(present.slice(1, 0, x.size(1)).to(x.scalar_type())));
    };
    kernels::RunOptions options;
    options.after_value = [&](ValueId id, at::Tensor& t) {
      if (id == layer.x) keep_x(t);
      if (id != result) return;
      const at::Tensor y = t.reshape({to_y.size(0), layer.heads, t.size(-2), t.size(-1)}).transpose(1, 2);
      to_y.slice(1, 0, y.size(1)).copy_(y.flatten(2));
    };
    stream_.run(model_.weights, options,
                [&](const SampleStream::Batch& b) {
                  const auto part = [&](const at::Tensor& all) {
                    return all.slice(0, b.first, b.first + b.count);
                  };
                  to_x = part(pairs.x), to_y = part(pairs.y), present = part(pairs.present);
                  mark_present(layer, b, present);
                  if (input) keep_x(part(samples_.inputs[*input]));
                },
                {});
    pairs.present = pairs.present.expand({count(), positions_, out}).flatten(1);
    pairs.x = pairs.x.flatten(1), pairs.y = pairs.y.flatten(1);
    return pairs;
  }

 private:
  void mark_present(const AttentionLayer& layer, const SampleStream::Batch& b, at::Tensor& present) const {
    const std::int64_t length =
        model_.program[layer.x].shape[layer.sequence_first ? 0 : 1].symbolic() ? longest() : positions_;
    require_room(length);
    const at::Tensor rows = present.slice(1, 0, length);
    if (layer.present && b.mask.defined())
      rows.copy_(b.mask.slice(1, 0, length).ne(0).unsqueeze(-1));
    else
      rows.fill_(1);
  }
  /// Positions of a sample: dimension 1 of the first input.
  std::int64_t longest() const { return samples_.inputs.front().size(1); }

  void require_room(std::int64_t length) const {
    if (length > positions_) refuse_length(positions_, "the " + std::to_string(length) + " of the samples");
  }

  const models::Model& model_;
  const CalibrationSet& samples_;
  SampleStream stream_;
  std::int64_t positions_;
};

bool asked_for(const std::string& name, const SentenceTraining& o) {
  const auto matches = [&](const std::string& pattern) { return glob_match(pattern, name); };
  return !std::ranges::any_of(o.ignore, matches) && (o.only.empty() || std::ranges::any_of(o.only, matches));
}

/// Positions of the networks: as asked, otherwise those of the samples; the network's own example must fit.
std::int64_t positions_for(const Program& program, const std::vector<AttentionLayer>& layers,
                           const CalibrationSet& samples, std::int64_t asked) {
  std::int64_t most = 0;
  for (const AttentionLayer& layer : layers) {
    const Size& length = program[layer.x].shape[layer.sequence_first ? 0 : 1];
    if (asked > 0 && asked < length.hint)
      refuse_length(asked, "the " + std::to_string(length.hint) + " of the network's own example");
    most = std::max({most, length.hint, length.symbolic() ? samples.inputs.front().size(1) : length.hint});
  }
  return asked > 0 ? asked : most;
}

double change_on(const models::Model& before, const models::Model& after, const CalibrationSet& samples) {
  std::vector<at::Tensor> wanted;
  double largest = 0;
  const auto run = [&](const models::Model& model, const SampleStream::After& use) {
    const graph::Dependencies dependencies = graph::analyse(model.program);
    SampleStream(model, dependencies, samples, samples.samples()).run(model.weights, {}, {}, use);
  };
  run(before, [&](const SampleStream::Batch&, const std::vector<at::Tensor>& out) { wanted = out; });
  run(after, [&](const SampleStream::Batch&, const std::vector<at::Tensor>& out) {
    largest = std::max(largest, relative_change(wanted, out));
  });
  return largest;
}

CalibrationSet last_samples(const CalibrationSet& all, std::int64_t count) {
  CalibrationSet out = all;
  const auto cut = [&](at::Tensor& t) {
    if (t.defined()) t = t.slice(0, t.size(0) - count, t.size(0));
  };
  for (at::Tensor& input : out.inputs) cut(input);
  cut(out.labels);
  cut(out.mask);
  return out;
}

}  // namespace

std::int64_t sentence_width(const std::string& size, std::int64_t w) {
  if (size == "XS") return std::max<std::int64_t>(1, w / 256);
  if (size == "S") return std::max<std::int64_t>(1, w / 128);
  if (size == "M") return std::max<std::int64_t>(1, w / 8);
  if (size == "L") return std::max<std::int64_t>(1, w / 2);
  if (size == "XL") return 2 * w;
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--size",
                   .message = "\"" + size + "\" is not one of XS, S, M, L, XL"});
}

SentenceReport attention_to_ffn(models::Model& model, const CalibrationSet& samples,
                                const SentenceTraining& options) {
  SentenceReport report;
  AttentionLayers found = find_attention_layers(model, options.seed);
  report.left = std::move(found.left);
  std::erase_if(found.layers, [&](const AttentionLayer& layer) { return !asked_for(layer.name, options); });
  if (found.layers.empty()) return report;
  const std::int64_t positions = positions_for(model.program, found.layers, samples, options.positions);
  const graph::Dependencies dependencies = graph::analyse(model.program);
  const Recorder recorder(model, dependencies, samples, positions);
  report.samples = recorder.count();
  report.held_out = std::clamp<std::int64_t>(
      std::llround(options.held_out * static_cast<double>(report.samples)), 1, report.samples);
  const std::int64_t trained_on = std::max<std::int64_t>(1, report.samples - report.held_out);
  std::vector<Trained> trained;
  for (const AttentionLayer& layer : found.layers) {
    const SentencePairs pairs = recorder.record(layer), held = rows(pairs, trained_on, report.samples);
    const std::int64_t width = pairs.x.size(1), hidden = sentence_width(options.size, width);
    SentenceNetwork network(width, hidden, pairs.y.size(1), options.seed);
    SentenceLayer row{
        .name = layer.name, .input_width = width, .hidden = hidden, .output_width = pairs.y.size(1)};
    row.error_before = relative_error(network, held);
    train(network, rows(pairs, 0, trained_on),
          {.epochs = options.epochs,
           .learning_rate = options.learning_rate,
           .batch = options.batch,
           .seed = options.seed},
          [&](int epoch) {
            row.error = relative_error(network, held);
            if (options.progress) options.progress(layer.name, epoch, row.error);
          });
    report.layers.push_back(row);
    trained.push_back({layer, std::move(network)});
  }
  const models::Model before = model;
  replace(model, trained, positions);
  report.output_change = change_on(before, model, last_samples(samples, report.held_out));
  return report;
}

}  // namespace pollard::pruning
