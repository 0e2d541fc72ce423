// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>

#include "graph/error.h"
#include "pruning/rewrite.h"
#include "pruning/stream/rewrite.h"

namespace pollard::pruning {
namespace {

using models::io::TensorInfo;

struct Place {
  const models::io::SafetensorsReader* reader;
  const TensorInfo* info;
};

std::map<std::string, Place> places(const models::StoredCheckpoint& checkpoint) {
  std::map<std::string, Place> out;
  for (const models::io::SafetensorsReader& reader : checkpoint.files)
    for (const TensorInfo& info : reader.tensors()) out.emplace(info.name, Place{&reader, &info});
  return out;
}

/// Where the element at `position` of the result's tensor lies in the original's, both as flat indices.
std::uint64_t original_position(std::uint64_t position, const TensorInfo& to, const TensorInfo& from,
                                const std::map<std::int64_t, std::vector<std::int64_t>>& kept) {
  std::uint64_t out = 0, stride = 1;
  for (std::size_t d = to.shape.size(); d-- > 0;) {
    const auto size = static_cast<std::uint64_t>(to.shape[d]);
    std::uint64_t index = position % size;
    position /= size;
    if (const auto found = kept.find(static_cast<std::int64_t>(d)); found != kept.end())
      index = static_cast<std::uint64_t>(found->second[static_cast<std::size_t>(index)]);
    out += index * stride;
    stride *= static_cast<std::uint64_t>(from.shape[d]);
  }
  return out;
}

}  // namespace

std::size_t compare_slices(const models::StoredCheckpoint& original, const models::StoredCheckpoint& result,
                           const graph::Dependencies& dependencies, const graph::Removal& removal,
                           std::size_t count, std::uint64_t seed) {
  constexpr std::uint64_t kRun = 64;  // elements compared at a place
  const auto from = places(original), to = places(result);
  std::vector<const graph::Input*> inputs;
  for (const graph::Input& input : original.model.program.inputs)
    if (const auto place = to.find(input.source); place != to.end() && place->second.info->bytes > 0)
      inputs.push_back(&input);
  std::mt19937_64 random(seed);
  for (std::size_t n = 0; n < count && !inputs.empty(); ++n) {
    const graph::Input& input = *inputs[random() % inputs.size()];
    const Place &a = from.at(input.source), &b = to.at(input.source);
    const auto width = static_cast<std::uint64_t>(graph::dtype_size(b.info->dtype));
    const std::uint64_t elements = b.info->bytes / width, first = random() % elements;
    const auto kept = kept_of(dependencies, input.value, removal);
    for (std::uint64_t k = first; k < std::min(elements, first + kRun); ++k) {
      const std::uint64_t k0 = original_position(k, *b.info, *a.info, kept);
      POLLARD_CHECK(b.reader->source().read(b.info->offset + k * width, width) ==
                        a.reader->source().read(a.info->offset + k0 * width, width),
                    "element " + std::to_string(k) + " of " + input.source + " is not the original's");
    }
  }
  return inputs.empty() ? 0 : count;
}

}  // namespace pollard::pruning
