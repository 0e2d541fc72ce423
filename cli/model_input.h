// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "cli/context.h"
#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::cli {

/// The options that say how a model file is to be read; the same for every command.
struct ModelInput {
  std::string family, spec_file, key;
  bool skip_crc = false;
};
/// Shown with --help-all only, unless a command gives them a group of their own.
void add_model_options(CLI::App& app, ModelInput& input, const std::string& group = "More");

/// Reads a model and says at -v how long it took.
models::Model load_model(const std::string& path, const ModelInput& input);

/// A model together with what its analysis found.
struct AnalysedModel {
  std::string path;
  models::Model model;
  graph::Dependencies dependencies;
};
AnalysedModel load_and_analyse(const std::string& path, const ModelInput& input);

/// "3x32x32" of 1x3x32x32 and so on: the shapes of the user inputs, joined with ", ".
std::string input_shapes(const graph::Program& program);

/// "1x3x32x32"; symbolic sizes as "s0=2".
std::string shape_text(const std::vector<graph::Size>& shape);

/// A text file named on the command line, at most 64 MiB.
std::string read_text_file(const std::string& path);

/// Refuses text outputs before any work is done, as check_output_path does; "" is none.
void check_text_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs,
                        bool force);

/// A text file that appears whole or not at all. Throws UserError as check_output_path and AtomicFile do.
void write_text_file(const std::string& path, const std::string& text, bool force);

}  // namespace pollard::cli
