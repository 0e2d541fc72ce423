// SPDX-License-Identifier: Apache-2.0
// What a sentence encoder loses by pruning: cosine between the embeddings of the dense and of smaller models.
//
//   minilm tokens FOLDER SENTENCES.txt OUT.safetensors        token ids as calibration data for `pollard prune --calib`
//   minilm fidelity FOLDER SENTENCES.txt DENSE SMALL...       mean cosine to the dense model's embeddings
#include <ATen/ATen.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "graph/error.h"
#include "models/data/sentence.h"
#include "models/data/wordpiece.h"
#include "models/io/safetensors.h"
#include "models/model.h"

namespace {

using namespace pollard;

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  if (lines.empty())
    throw UserError({.code = "E0302",
                     .exit = Exit::BadFile,
                     .subject = path,
                     .message = "holds no sentence",
                     .where = {},
                     .why = {},
                     .help = {}});
  return lines;
}

/// Inputs in the order the program takes them: ids, then the mask, then zero token types.
std::vector<at::Tensor> inputs_for(const graph::Program& program, const models::TokenBatch& batch) {
  std::vector<at::Tensor> out;
  for (const graph::Input* input : program.user_inputs()) {
    if (input->constant) continue;
    const std::string& name = program[input->value].name;
    if (name.find("mask") != std::string::npos)
      out.push_back(batch.mask);
    else if (name.find("type") != std::string::npos)
      out.push_back(at::zeros_like(batch.ids));
    else
      out.push_back(batch.ids);
  }
  return out;
}

at::Tensor embed(const models::Model& model, const models::WordPiece& tokenizer,
                 const std::vector<std::string>& lines) {
  const kernels::Executor executor(model.program);
  std::vector<at::Tensor> parts;
  for (std::size_t first = 0; first < lines.size(); first += 32) {
    const std::size_t count = std::min<std::size_t>(32, lines.size() - first);
    const models::TokenBatch batch = tokenizer.batch(std::span(lines).subspan(first, count));
    const at::Tensor hidden = executor.run(model.weights, inputs_for(model.program, batch)).front();
    parts.push_back(models::sentence_embedding(hidden, batch.mask));
  }
  return at::cat(parts, 0);
}

int fidelity(const models::WordPiece& tokenizer, const std::vector<std::string>& lines,
             const std::vector<std::string>& paths) {
  const at::Tensor dense = embed(models::load(paths.front()), tokenizer, lines);
  std::printf("fidelity over %zu sentences: cosine to the dense model's embeddings\n", lines.size());
  std::printf("  %-40s %8s %8s\n", "model", "mean", "lowest");
  for (const std::string& path : paths) {
    const at::Tensor cosine = (embed(models::load(path), tokenizer, lines) * dense).sum(1);
    const std::string name = path.substr(path.rfind('/') + 1);
    std::printf("  %-40s %8.4f %8.4f\n", name.c_str(), cosine.mean().item<double>(),
                cosine.min().item<double>());
  }
  return 0;
}

int write_tokens(const models::WordPiece& tokenizer, const std::vector<std::string>& lines,
                 const std::string& out) {
  const models::TokenBatch batch = tokenizer.batch(lines);
  models::io::TensorMap tensors{{"attention_mask", batch.mask},
                                {"input_ids", batch.ids},
                                {"token_type_ids", at::zeros_like(batch.ids)}};
  models::io::save_safetensors(out, tensors, {}, true);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() >= 4) {
      const models::WordPiece tokenizer = models::WordPiece::from_folder(args[1]);
      const std::vector<std::string> lines = read_lines(args[2]);
      if (args[0] == "tokens") return write_tokens(tokenizer, lines, args[3]);
      if (args[0] == "fidelity") return fidelity(tokenizer, lines, {args.begin() + 3, args.end()});
    }
  } catch (const UserError& error) {
    std::fprintf(stderr, "error[%s] %s\n", error.parts().code.c_str(), error.what());
    return static_cast<int>(error.exit());
  }
  std::fputs("usage: minilm tokens FOLDER SENTENCES OUT | minilm fidelity FOLDER SENTENCES DENSE SMALL...\n",
             stderr);
  return 2;
}
