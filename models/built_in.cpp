// SPDX-License-Identifier: Apache-2.0
#include "models/built_in.h"

#include "models/registry.h"

namespace pollard::models {

std::optional<BuiltIn> find_built_in(std::string_view name) {
  for (const Family& family : families()) {
    if (family.name == name) return BuiltIn{&family, "{}"};
    for (const Published& size : family.published)
      if (size.name == name) return BuiltIn{&family, size.spec_json};
  }
  return std::nullopt;
}

}  // namespace pollard::models
