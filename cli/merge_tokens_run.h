// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/before_after.h"
#include "cli/context.h"
#include "cli/model_input.h"
#include "graph/error.h"
#include "models/merge_tokens.h"

namespace pollard::cli {

/// What `pollard compress IN OUT --merge-tokens TEXT` is asked for.
struct MergeTokensArguments {
  std::string in, out, text;
  int repeat = 20;  ///< timed runs of each network; 0 = do not time
  bool dry_run = false, force = false;
  ModelInput input;
  CompareHook compared = {};
};

/// "r=8" or "r=13,inflect=-1". Throws UserError E0203.
models::MergeOptions parse_merge_tokens(const std::string& text);

/// Rebuilds the network with merging, reports multiply-accumulates and latency, and writes it.
Exit run_merge_tokens(const MergeTokensArguments& arguments, Context& context);

}  // namespace pollard::cli
