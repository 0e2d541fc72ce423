// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/context.h"
#include "cli/model_input.h"
#include "cli/plan_options.h"
#include "graph/error.h"

namespace pollard::cli {

/// What `pollard prune IN OUT --stream` is asked for.
struct StreamArguments {
  std::string in, out, plan_file, memory = "2GiB";
  ModelInput input;
  PlanArguments plan;
  bool dry_run = false, force = false;
};

/// Plans from one pass over the files and writes the smaller ones, without ever holding the network. Under mpirun the
/// ranks share the files; the first one speaks. Throws UserError E0206 for options that need the network in memory.
Exit run_stream(const StreamArguments& arguments, Context& context);

}  // namespace pollard::cli
