// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cli/before_after.h"
#include "cli/context.h"
#include "cli/model_input.h"
#include "graph/error.h"

namespace pollard::cli {

/// What `pollard compress IN OUT --attention-to-ffn` is asked for.
struct AttentionArguments {
  std::string in, out, size = "S", rate = "1e-4";
  std::string calibration, tokenizer, only, ignore;
  std::int64_t samples = 0, positions = 0;
  int epochs = 21;
  int repeat = 20;  ///< timed runs of each network; 0 = do not time
  bool dry_run = false, force = false;
  ModelInput input;
  CompareHook compared = {};
};

/// Trains the replacing networks, reports each one's error before and after, size and latency, and writes the result.
/// Throws UserError E0210 without samples, E0441 when there is no attention to replace.
Exit run_attention_to_ffn(const AttentionArguments& arguments, Context& context);

}  // namespace pollard::cli
