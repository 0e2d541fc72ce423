// SPDX-License-Identifier: Apache-2.0
#include "cli/built_in.h"

#include "cli/parse_errors.h"
#include "cli/ui/suggest.h"
#include "models/io/json.h"
#include "models/registry.h"

namespace pollard::cli {

models::BuiltIn built_in(const std::string& name, const std::string& spec_file) {
  auto found = models::find_built_in(name);
  if (!found) {
    std::vector<std::string> known;
    for (const models::Family& family : models::families()) {
      known.push_back(family.name);
      for (const models::Published& size : family.published) known.push_back(size.name);
    }
    const auto near = closest(name, known);
    throw usage_error("E0203", name,
                      "is neither a built-in family nor one of their published sizes" +
                          (near ? "; did you mean \"" + *near + "\"?" : std::string()),
                      "pollard models lists them");
  }
  if (!spec_file.empty()) {
    Json spec = Json::parse(found->spec_json);
    spec.update(models::io::parse_json(read_text_file(spec_file), spec_file));
    found->spec_json = spec.dump();
  }
  return *found;
}

AnalysedModel analyse_built_in(const ModelInput& input) {
  const models::BuiltIn chosen = built_in(input.family, input.spec_file);
  AnalysedModel out{.path = input.family,
                    .model = models::weightless_model(*chosen.family, chosen.spec_json),
                    .dependencies = {}};
  out.dependencies = graph::analyse(out.model.program);
  return out;
}

}  // namespace pollard::cli
