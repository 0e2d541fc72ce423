// SPDX-License-Identifier: Apache-2.0
// Any bytes as the configuration of a built-in family (--spec, or config.json beside a checkpoint); the first byte says of
// which. Refused, or completed to a spec that is its own completion; small ones are built, without weights.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/io/json.h"
#include "models/meta_kernels.h"
#include "models/registry.h"
#include "tests/fuzz/target.h"

namespace {

namespace models = pollard::models;

/// Whether no number is large: larger ones are legal, but building them is no parser's test.
bool is_small(const nlohmann::json& json) {
  if (json.is_number()) return json.get<double>() <= 64;
  return !json.is_structured() || std::ranges::all_of(json, is_small);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const models::Family& family = models::families()[data[0] % models::families().size()];
  const std::string_view text = pollard::fuzz::text(data + 1, size - 1);
  return pollard::fuzz::read_or_refuse([&] {
    models::io::parse_json(text, "fuzz");
    std::string spec;
    try {
      spec = models::spec_from(family, {}, text, "");
    } catch (const models::Shapes::Missing&) {  // a checkpoint's names would have to say it
      spec = family.complete(text);
    }
    POLLARD_CHECK(family.complete(spec) == spec, "a spec that is not its own completion: " + spec);
    if (!is_small(nlohmann::json::parse(spec))) return;
    const models::MetaKernels meta;
    family.build(spec);
  });
}
