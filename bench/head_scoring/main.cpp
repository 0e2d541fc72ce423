// SPDX-License-Identifier: Apache-2.0
// Processor seconds a head of scoring by silencing: sharing what lies below the head against running everything anew; and
// what a run with half of the heads gone would save if their attention were not computed.
//
//   head_scoring [SPEC_JSON] [HEADS] [TOKENS]     a GPT-2 of these sizes with fresh weights; HEADS heads of every layer
//                                                 (default 12: all of GPT-2's), a text of TOKENS tokens (default 640)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "graph/error.h"
#include "kernels/attention/masked_attention.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/fairness/metrics.h"
#include "pruning/verify.h"

namespace {

using namespace pollard;
using namespace pollard::pruning::fairness;

TokenIds ids(const std::string& name, std::int64_t count, std::int64_t vocabulary) {
  const at::Tensor t = models::golden_ids(name, {count}, vocabulary);
  return {t.data_ptr<std::int64_t>(), t.data_ptr<std::int64_t>() + count};
}

/// 8 prompts of 10 tokens with 8 continuations of 6: the shape of an attribute measurement.
std::vector<Scored> attribute_sequences(std::int64_t vocabulary) {
  std::vector<Scored> out;
  for (int p = 0; p < 8; ++p)
    for (int c = 0; c < 8; ++c) {
      Scored s{.ids = ids("prompt" + std::to_string(p), 10, vocabulary), .first = 10};
      const TokenIds more = ids("continuation" + std::to_string(c), 6, vocabulary);
      s.ids.insert(s.ids.end(), more.begin(), more.end());
      out.push_back(std::move(s));
    }
  return out;
}

double seconds(const Knockout& knockout, const Probe& probe, bool naive, at::Tensor& numbers) {
  const std::clock_t start = std::clock();
  numbers = measure(knockout, probe, {.naive = naive});
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// Layer by layer, both ways in turn, so that a disturbance meets both. The run of the whole network that comes with every
/// measurement is measured alone as often and taken off: scoring all heads at once makes it once.
void compare(const char* what, const models::Model& model, const graph::Dependencies& d,
             const std::vector<std::vector<Unit>>& layers, const Probe& probe) {
  double naive = 0, shared = 0, difference = 0, largest = 0;
  std::size_t heads = 0;
  for (const std::vector<Unit>& layer : layers) {
    const Knockout knockout(model, d, layer), whole(model, d, {});
    at::Tensor a, b, none;
    naive += seconds(knockout, probe, true, a) - seconds(whole, probe, true, none);
    shared += seconds(knockout, probe, false, b) - seconds(whole, probe, false, none);
    heads += layer.size();
    difference = std::max(difference, (a - b).abs().max().item<double>());
    largest = std::max(largest, a.abs().max().item<double>());
  }
  const auto n = static_cast<double>(heads);
  std::printf("%-26s %8.3f s a head naive, %8.3f s shared: %.2fx; largest difference %.1e of %.1f\n", what,
              naive / n, shared / n, naive / shared, difference, largest);
  std::fflush(stdout);
}

/// The first `count` heads of every layer.
std::vector<std::vector<Unit>> by_layer(const std::vector<Unit>& heads, std::size_t count) {
  std::vector<std::vector<Unit>> out;
  for (const Unit& unit : heads) {
    if (out.empty() || out.back().front().group != unit.group) out.emplace_back();
    if (out.back().size() < count) out.back().push_back(unit);
  }
  return out;
}

constexpr const char* kAttention = "aten.scaled_dot_product_attention.default";

/// A call of attention in pollard's kernel, closed heads not computed.
at::Tensor of_open_heads(const std::vector<c10::IValue>& stack, const at::Tensor& gate) {
  return kernels::masked_attention(stack.at(0).toTensor(), stack.at(1).toTensor(), stack.at(2).toTensor(),
                                   gate,
                                   {.mask = stack.at(3).toOptional<at::Tensor>(),
                                    .causal = stack.at(5).toBool(),
                                    .scale = stack.at(6).toOptional<double>()});
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

/// The masked network without every other head, in turn as scoring runs it and with open heads computed alone.
void compare_attention(const char* what, const models::Model& model, const graph::Dependencies& d,
                       const at::Tensor& ids) {
  std::vector<Unit> gone;
  for (const Unit& unit : attention_heads(d))
    if (unit.unit % 2 == 0) gone.push_back(unit);
  const graph::Removal removal = removal_of(d, gone);
  const kernels::Weights weights = pruning::masked_weights(model, d, removal);
  const kernels::Executor network(model.program);
  const kernels::RunOptions plain = pruning::masked_run_options(model.program, d, removal);
  kernels::RunOptions open = plain;
  open.before_op = [&](const graph::Op& op, std::size_t index, std::vector<c10::IValue>& stack) {
    if (op.target != kAttention) return plain.before_op(op, index, stack);
    const at::Tensor gate = at::arange(stack.at(0).toTensor().size(1)).remainder(2).to(at::kFloat);
    stack = {of_open_heads(stack, gate)};
    return true;
  };
  at::Tensor results[2];
  std::vector<double> times[2];
  for (int round = 0; round < 9; ++round)
    for (int way = 0; way < 2; ++way) {
      const std::clock_t start = std::clock();
      results[way] = network.run(weights, {ids}, way == 0 ? plain : open).front();
      if (round > 0) times[way].push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
  const double all = median(times[0]), alone = median(times[1]);
  std::printf(
      "%-26s %8.3f s a run with all heads, %8.3f s with open heads alone: %.3fx; largest difference %.1e\n",
      what, all, alone, all / alone, (results[0] - results[1]).abs().max().item<double>());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string spec = argc > 1 ? argv[1] : "{}";
    const models::Model model = models::fresh_model(*models::find_family("gpt2"), spec, 0);
    const graph::Dependencies d = graph::analyse(model.program);
    const auto layers = by_layer(attention_heads(d), argc > 2 ? std::stoul(argv[2]) : 12);
    std::printf("%zu layers, %zu heads of each, %d threads\n", layers.size(), layers.at(0).size(),
                at::get_num_threads());
    const std::int64_t vocabulary = 5000;
    compare("attribute, 64 sequences", model, d, layers,
            *likelihood_probe(model.program, attribute_sequences(vocabulary)));
    const TokenIds text = ids("text", argc > 3 ? std::stol(argv[3]) : 640, vocabulary);
    compare("perplexity, half strides", model, d, layers,
            make_perplexity(model.program, text, {.window = 256, .stride = 128})->probe());
    compare("perplexity, published", model, d, layers,
            make_perplexity(model.program, text, {.window = 256, .stride = 512, .published = true})->probe());
    compare_attention("64 sequences of 16", model, d, models::golden_ids("ids", {64, 16}, vocabulary));
    compare_attention("a window of 256", model, d, models::golden_ids("ids", {1, 256}, vocabulary));
  } catch (const UserError& error) {
    std::fprintf(stderr, "error[%s] %s\n", error.parts().code.c_str(), error.what());
    return static_cast<int>(error.exit());
  }
  return 0;
}
