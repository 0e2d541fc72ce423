// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace pollard::cli {

class CommandLine;

// Each adds one command to the parser; see the file of its name.
void add_bench(CommandLine& line);
void add_completion(CommandLine& line);
void add_compress(CommandLine& line);
void add_devices(CommandLine& line);
void add_doctor(CommandLine& line);
void add_eval(CommandLine& line);
void add_explain(CommandLine& line);
void add_export(CommandLine& line);
void add_fairness(CommandLine& line);
void add_finetune(CommandLine& line);
void add_help_reference(CommandLine& line);
void add_init(CommandLine& line);
void add_inspect(CommandLine& line);
void add_models(CommandLine& line);
void add_parity(CommandLine& line);
void add_plan(CommandLine& line);
void add_prune(CommandLine& line);
void add_train(CommandLine& line);
void add_verify(CommandLine& line);

}  // namespace pollard::cli
