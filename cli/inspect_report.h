// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "cli/context.h"
#include "cli/health.h"
#include "cli/model_input.h"
#include "cli/model_report.h"

namespace pollard::cli {

/// Everything `inspect` tells about one file.
struct Inspected {
  AnalysedModel m;
  graph::Cost cost;
  std::vector<GroupView> groups;  ///< as filtered and sorted
  Health health;
};

Json to_json(const Inspected& inspected, bool with_tensors);
void report_summary(const Inspected& inspected, Context& context);
/// The groups, alike ones of many layers in one row ("G05 +31"): at most `most` rows, and how many more there are.
void show_kinds(const Inspected& inspected, std::size_t most, Context& context);

}  // namespace pollard::cli
