// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of samples, the first byte says of which kind: series, records of text, CIFAR, images.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "tests/fuzz/target.h"
#include "training/data/dataset.h"

namespace {

using pollard::graph::DType;
namespace training = pollard::training;

/// A program whose one input has this shape.
pollard::graph::Program taking(const std::vector<std::int64_t>& shape, DType type) {
  pollard::graph::Program program;
  pollard::graph::Value value{.name = "x", .dtype = type};
  for (const std::int64_t size : shape) value.shape.push_back({size, ""});
  program.inputs.push_back({.value = program.add(value), .kind = pollard::graph::Input::Kind::User});
  return program;
}

void read(unsigned kind, std::string_view bytes) {
  static const pollard::fuzz::Folder folder;
  static const auto series = taking({1, 2, 3}, DType::Float32), words = taking({1, 8}, DType::Int64);
  static const auto vocabulary =
      folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nfox\n##es\nthe\n").parent_path();
  const training::DataOptions options{.tokenizer = vocabulary, .skip_bad = (kind & 1) != 0};
  const auto file = folder.write("fuzz", bytes);
  std::unique_ptr<training::Dataset> data;
  switch (kind / 2 % 5) {
    case 0: data = training::read_time_series(file, series, options); break;
    case 1: data = training::read_text_csv(file, words, options); break;
    case 2: data = training::read_cifar({file}, false, options); break;
    case 3: data = training::read_cifar({file}, true, options); break;
    default: training::decode_image(std::as_bytes(std::span(bytes)), "fuzz"); return;
  }
  for (std::int64_t i = 0; i < std::min<std::int64_t>(data->size(), 4); ++i) data->read(i);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  return pollard::fuzz::read_or_refuse([&] { read(data[0], pollard::fuzz::text(data + 1, size - 1)); });
}
