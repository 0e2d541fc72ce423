// SPDX-License-Identifier: Apache-2.0
// Samples from files of several kinds.
#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "graph/error.h"
#include "models/data/text_tokens.h"
#include "models/io/bytes.h"
#include "models/io/checkpoint.h"
#include "models/io/file.h"
#include "models/io/npy.h"
#include "pruning/calibration.h"

namespace pollard::pruning {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

std::vector<graph::ValueId> tensor_inputs(const graph::Program& program) {
  std::vector<graph::ValueId> out;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant) out.push_back(input->value);
  return out;
}

[[noreturn]] void misfit(const std::filesystem::path& path, const std::string& message) {
  throw UserError(
      {.code = "E0390",
       .exit = Exit::BadFile,
       .subject = path.filename().string(),
       .message = message,
       .where = {},
       .why = {},
       .help =
           "store one tensor an input, samples first, under the names that `pollard inspect FILE` shows"});
}

void check_sample(const std::filesystem::path& path, const graph::Value& want, const at::Tensor& got) {
  const bool rank = static_cast<std::size_t>(got.dim()) == want.shape.size() && got.dim() > 0;
  if (!rank)
    misfit(path, want.name + " has rank " + std::to_string(got.dim()) + ", the program takes rank " +
                     std::to_string(want.shape.size()));
  for (std::size_t d = 1; d < want.shape.size(); ++d)
    if (!want.shape[d].symbolic() && got.size(static_cast<std::int64_t>(d)) != want.shape[d].hint)
      misfit(path, want.name + " has length " + std::to_string(got.size(static_cast<std::int64_t>(d))) +
                       " in dim " + std::to_string(d) + ", the program takes " +
                       std::to_string(want.shape[d].hint));
  if (got.is_floating_point() != graph::is_floating(want.dtype))
    misfit(path, want.name + " mixes floating-point and integer data");
}

/// What a file of samples holds; `mask` where it is known beside the inputs.
struct Content {
  Tensors tensors;
  at::Tensor mask;
};

/// Cut, or filled up with zeros, to the length a program was exported for.
at::Tensor at_length_of(const graph::Value& value, const at::Tensor& tokens) {
  if (value.shape.size() != 2 || value.shape[1].symbolic()) return tokens;
  const std::int64_t length = value.shape[1].hint, have = tokens.size(1);
  return have < length ? at::constant_pad_nd(tokens, {0, length - have}) : tokens.slice(1, 0, length);
}

/// Ids, mask and types of one sample a line, to inputs by their names.
Content read_text(const std::filesystem::path& path, const graph::Program& program,
                  const CalibrationOptions& options) {
  std::istringstream in(std::string(models::io::as_text(models::io::read_file(path))));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && (options.most == 0 || std::ssize(lines) < options.most)) lines.push_back(line);
  if (lines.empty()) misfit(path, "holds no line of text");
  const models::TokenBatch batch = models::text_tokens(options.tokenizer, lines);
  Content out;
  for (graph::ValueId id : tensor_inputs(program)) {
    const graph::Value& value = program[id];
    const bool mask = value.name.find("mask") != std::string::npos,
               type = value.name.find("type") != std::string::npos;
    out.tensors[value.name] = at_length_of(value, mask   ? batch.mask
                                                  : type ? at::zeros_like(batch.ids)
                                                         : batch.ids);
    if (!mask && !type) out.mask = at_length_of(value, batch.mask);
  }
  return out;
}

Content read_content(const std::filesystem::path& path, const graph::Program& program,
                     const CalibrationOptions& options) {
  if (!options.tokenizer.empty()) return read_text(path, program, options);
  if (models::io::looks_like_arrays(*models::io::open_file(path)))
    return {.tensors = models::io::read_arrays(path), .mask = {}};
  return {.tensors = models::io::read_checkpoint(path).tensors, .mask = {}};
}

/// Bytes as an image of the input's kind: scaled, with a channel dimension.
at::Tensor as_image(const at::Tensor& bytes, const graph::Value& want, const CalibrationOptions& options) {
  if (bytes.scalar_type() != at::kByte || !graph::is_floating(want.dtype)) return bytes;
  const at::Tensor images = (bytes.to(at::kDouble) / 255 - options.mean) / options.spread;
  const at::Tensor x = images.to(kernels::to_scalar_type(want.dtype));
  return x.dim() == 3 && want.shape.size() == 4 ? x.unsqueeze(1) : x;
}

at::Tensor read_labels(Tensors& tensors, const graph::Program& program, const CalibrationOptions& options,
                       std::int64_t samples) {
  at::Tensor labels;
  const auto inputs = tensor_inputs(program);
  const bool is_input =
      std::ranges::any_of(inputs, [&](graph::ValueId id) { return program[id].name == "labels"; });
  if (const auto inside = tensors.find("labels"); inside != tensors.end() && !is_input) {
    labels = inside->second;
    tensors.erase(inside);
  }
  if (!options.labels.empty()) labels = models::io::read_arrays(options.labels).begin()->second;
  if (!labels.defined()) return labels;
  if (labels.dim() == 1 && labels.size(0) >= samples && !labels.is_floating_point())
    return labels.slice(0, 0, samples).to(at::kLong);
  throw UserError({.code = "E0395",
                   .exit = Exit::BadFile,
                   .subject = options.labels.empty() ? "labels" : options.labels.filename().string(),
                   .message = "the labels are not one whole number a sample",
                   .where = {},
                   .why = {},
                   .help = "one class number from 0 a sample, in the samples' order"});
}

}  // namespace

CalibrationSet read_calibration(const std::filesystem::path& path, const graph::Program& program,
                                const CalibrationOptions& options) {
  const auto [all, known_mask] = read_content(path, program, options);
  Tensors tensors = all;
  const std::vector<graph::ValueId> wanted = tensor_inputs(program);
  CalibrationSet set{.inputs = {}, .labels = {}, .mask = known_mask};
  if (!tensors.empty()) {
    const std::int64_t held = tensors.begin()->second.dim() ? tensors.begin()->second.size(0) : 0;
    set.labels = read_labels(tensors, program, options, options.most ? std::min(options.most, held) : held);
  }
  const bool named =
      std::ranges::all_of(wanted, [&](graph::ValueId id) { return tensors.contains(program[id].name); });
  if (!named && tensors.size() > wanted.size())
    tensors.erase("targets");  // what should come out, beside the inputs
  if (!named && tensors.size() != wanted.size())
    misfit(path, "holds " + std::to_string(tensors.size()) + " tensors, the program takes " +
                     std::to_string(wanted.size()));
  auto next = tensors.begin();
  for (graph::ValueId id : wanted) {
    const graph::Value& value = program[id];
    at::Tensor tensor = as_image(named ? tensors.at(value.name) : (next++)->second, value, options);
    check_sample(path, value, tensor);
    if (options.most) tensor = tensor.slice(0, 0, options.most);
    set.inputs.push_back(tensor.to(kernels::to_scalar_type(value.dtype)));
  }
  if (const at::Tensor mask = padding_mask(program, set.inputs); mask.defined()) set.mask = mask;
  for (const at::Tensor& tensor : set.inputs)
    if (tensor.size(0) != set.samples()) misfit(path, "the inputs hold different numbers of samples");
  if (set.samples() == 0) misfit(path, "holds no sample");
  return set;
}

}  // namespace pollard::pruning
