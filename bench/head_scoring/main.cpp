// SPDX-License-Identifier: Apache-2.0
// Processor seconds a head of scoring by silencing: sharing what lies below the head against running everything anew.
//
//   head_scoring [SPEC_JSON] [HEADS] [TOKENS]     a GPT-2 of these sizes with fresh weights; every HEADS-th head (default 12:
//                                                 one a layer), a text of TOKENS tokens (default 640)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdio>
#include <ctime>
#include <string>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/fairness/metrics.h"

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

void compare(const char* what, const Knockout& knockout, const Probe& probe) {
  at::Tensor shared, naive;
  const auto heads = static_cast<double>(knockout.units().size());
  const double a = seconds(knockout, probe, true, naive) / heads,
               b = seconds(knockout, probe, false, shared) / heads;
  std::printf("%-26s %8.3f s a head naive, %8.3f s shared: %.2fx; largest difference %.1e of %.1f\n", what, a,
              b, a / b, (naive - shared).abs().max().item<double>(), naive.abs().max().item<double>());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string spec = argc > 1 ? argv[1] : "{}";
    const std::size_t step = argc > 2 ? std::stoul(argv[2]) : 12;
    const models::Model model = models::fresh_model(*models::find_family("gpt2"), spec, 0);
    const graph::Dependencies d = graph::analyse(model.program);
    const std::vector<Unit> all = attention_heads(d);
    std::vector<Unit> heads;
    for (std::size_t i = 0; i < all.size(); i += step) heads.push_back(all[i]);
    std::printf("%zu of %zu heads, %d threads\n", heads.size(), all.size(), at::get_num_threads());
    const Knockout knockout(model, d, heads);
    const std::int64_t vocabulary = 5000;
    compare("attribute, 64 sequences", knockout,
            *likelihood_probe(model.program, attribute_sequences(vocabulary)));
    const TokenIds text = ids("text", argc > 3 ? std::stol(argv[3]) : 640, vocabulary);
    compare("perplexity, half strides", knockout,
            make_perplexity(model.program, text, {.window = 256, .stride = 128})->probe());
    compare("perplexity, published", knockout,
            make_perplexity(model.program, text, {.window = 256, .stride = 512, .published = true})->probe());
  } catch (const UserError& error) {
    std::fprintf(stderr, "error[%s] %s\n", error.parts().code.c_str(), error.what());
    return static_cast<int>(error.exit());
  }
  return 0;
}
