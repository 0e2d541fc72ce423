// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/executor.h"
#include "models/family.h"
#include "models/model.h"

namespace pollard::models {

/// Every built-in family, in one list.
const std::vector<Family>& families();
/// nullptr when there is none of that name.
const Family* find_family(std::string_view name);

/// How well a family fits a checkpoint's names.
struct Match {
  const Family* family = nullptr;
  std::string spec_json;                             ///< "" when the family's signature names are missing
  std::size_t matched = 0, expected = 0, given = 0;  ///< tensors: in both, of the network, of the file
  std::size_t configured = 0;                        ///< fields of the spec that the configuration names
  std::vector<std::string> missing;                  ///< names the network needs and the file lacks
  std::vector<std::string> unexpected;
  std::vector<std::string> wrong_shapes;  ///< "fc.weight is [10,512], expected [1000,512]"
  std::string problem;   ///< why the sizes that names and shapes show are no spec of the family, or ""
  double score() const;  ///< matched / all names, 0..1
  bool complete() const { return missing.empty() && wrong_shapes.empty(); }
};

/// The family's name of a checkpoint's tensor: wrappers' prefixes stripped, renamed; "" when it is not
/// needed.
std::string network_key(const Family& family, std::string_view file_key);

/// A spec from what names and shapes tell and, over that, a configuration ("" for none) in the terms of the
/// reference implementation. `arch` is a golden's name for the network, or "". Throws UserError E0414.
std::string spec_from(const Family& family, const Shapes& shapes, std::string_view config_json,
                      std::string_view arch);

/// One family against a checkpoint. A configuration that makes names or shapes disagree is left aside.
Match match(const Family& family, const Shapes& shapes, std::string_view config_json = {});
/// One family under exactly this spec (the family's fields, or the reference's configuration). Throws UserError
/// E0326 (no JSON), E0414 (out of range), before anything is allocated.
Match match_as(const Family& family, const Shapes& shapes, std::string_view spec_json);
/// All of them, best first; of families with the same names, the one whose fields the configuration has.
std::vector<Match> recognise(const Shapes& shapes, std::string_view config_json = {});

/// Builds a Model from a checkpoint's tensors: recognises the family by the names (or takes the one `options`
/// asks for), guesses its spec from the shapes unless given, checks names and shapes, and captures the
/// network as a Program over the file's own names. `config_json` is the text of a config.json beside the
/// file, or "". Throws UserError E0420 (no family fits: the nearest ones with what is missing and
/// unexpected), E0423 (no tensors), E0422 (right names, wrong shapes), E0414 (spec out of range; before anything is allocated),
/// E0413 (capture).
Model load_family(kernels::Weights tensors, const LoadOptions& options = {},
                  std::string_view config_json = {});

/// The text of the config.json that published checkpoints come with, or "". `path`: a model file or its folder.
std::string config_beside(const std::filesystem::path& path);
/// Family and specification as a file's metadata states them, where the options do not.
LoadOptions with_metadata(LoadOptions options, const std::map<std::string, std::string>& metadata);

/// A family's network with fresh weights, captured. `spec_json` holds any subset of the spec's fields.
Model fresh_model(const Family& family, std::string_view spec_json, std::uint64_t seed);

}  // namespace pollard::models
