// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/commands.h"

#include "cli/app.h"
#include "cli/commands/generate.h"

namespace pollard::cli {

void add_commands(CommandLine& line) {
  add_inspect(line);
  add_explain(line);
  add_plan(line);
  add_prune(line);
  add_train(line);
  add_finetune(line);
  add_compress(line);
  add_fairness(line);
  add_eval(line);
  add_verify(line);
  add_bench(line);
  add_generate(line);
  add_parity(line);
  add_export(line);
  add_models(line);
  add_init(line);
  add_devices(line);
  add_doctor(line);
  add_completion(line);
  add_help_reference(line);
}

}  // namespace pollard::cli
