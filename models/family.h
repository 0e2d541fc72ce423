// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/network.h"
#include "models/spec.h"

namespace pollard::models {

/// Names and shapes of a checkpoint's tensors.
class Shapes {
 public:
  using Map = std::map<std::string, std::vector<std::int64_t>, std::less<>>;
  /// Thrown by dim(): the file is not what the caller takes it for.
  struct Missing : std::exception {};

  using Equal = std::function<bool(const std::string& a, const std::string& b)>;

  Shapes() = default;
  /// `equal` compares two tensors' contents; without it tensors count as different.
  explicit Shapes(Map map, Equal equal = {}) : map_(std::move(map)), equal_(std::move(equal)) {}

  bool has(std::string_view key) const { return map_.contains(key); }
  /// Size of one dimension, counted from the end when negative. Throws Missing when there is none.
  std::int64_t dim(std::string_view key, std::int64_t dimension) const;
  /// How many of prefix0suffix, prefix1suffix, ... exist without a gap: count("layer.", ".weight").
  std::int64_t count(std::string_view prefix, std::string_view suffix) const;
  /// Whether both exist and hold the same numbers: a head that repeats the tied embedding.
  bool same(const std::string& a, const std::string& b) const;
  const Map& map() const { return map_; }

 private:
  Map map_;
  Equal equal_;
};

/// A size people have published, under the name they call it.
struct Published {
  std::string name;
  std::string spec_json;
  std::int64_t parameters;  ///< as published; a test compares
};

/// Everything the toolkit knows about one network family. Each family's file has a function that returns one;
/// registry.cpp lists them.
struct Family {
  std::string name;         ///< "bert"
  std::string description;  ///< one line
  std::vector<Published> published;

  /// Specs that build in no time, one for each variant worth a test: every test of families runs on them.
  std::vector<std::string> small_specs;

  /// Names of golden files' "arch" that are this family; a trailing * matches any ending.
  std::vector<std::string> golden_archs;

  /// Canonical spec JSON (all fields) from any subset of them. Throws UserError E0414.
  std::function<std::string(std::string_view spec_json)> complete;
  std::function<std::unique_ptr<Network>(std::string_view spec_json)> build;

  /// Guesses the spec (JSON, any subset of fields) from a checkpoint's names and shapes. Throws
  /// Shapes::Missing when the names are not this family's.
  std::function<std::string(const Shapes& shapes)> spec_from_shapes;

  /// The network's name of a tensor that some checkpoints call otherwise. Unset: every name is its own.
  std::function<std::string(const std::string& file_key)> rename;
  /// Endings of names that checkpoints carry and the network does not need (an old causal mask).
  std::vector<std::string> ignored;

  /// Translates a reference implementation's configuration (config.json beside a checkpoint, "config" of a
  /// golden) where it is not simply fields of the spec; any subset of fields. What it says goes over what
  /// spec_from_shapes found. `arch` is a golden's name for the network, "" otherwise.
  std::function<std::string(std::string_view config_json, std::string_view arch, const Shapes& shapes)>
      spec_from_config;

  // Goldens that are not plain "config + inputs -> outputs, taps named as output_names".
  /// A golden's "config" and "arch" as a spec; unset: the config itself.
  std::function<std::string(std::string_view config_json, std::string_view arch, const Shapes& keys)>
      golden_spec;
  /// Replaces the generated inputs, following the golden's notes.
  std::function<std::vector<at::Tensor>(std::vector<at::Tensor> inputs, std::string_view golden_json)>
      golden_inputs;
  /// Tap names of outputs 1, 2, ... for goldens without output_names.
  std::function<std::vector<std::string>(std::string_view golden_json)> golden_taps;
};

/// A family with spec handling and construction filled in.
template <class Spec, class Net>
Family make_family(std::string name, std::string description) {
  Family family;
  family.name = std::move(name);
  family.description = std::move(description);
  family.complete = [](std::string_view json) { return spec_to_json(spec_from_json<Spec>(json)); };
  family.build = [](std::string_view json) -> std::unique_ptr<Network> {
    return std::make_unique<Net>(spec_from_json<Spec>(json));
  };
  return family;
}

}  // namespace pollard::models
