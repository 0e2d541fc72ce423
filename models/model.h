// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/program.h"
#include "kernels/executor.h"

namespace pollard::models {

/// A network with its weights, whatever it was read from: the one type every command works on.
struct Model {
  graph::Program program;
  kernels::Weights weights;
  /// Example inputs (user tensors, in order) when the file carried some; otherwise empty.
  std::vector<at::Tensor> sample_inputs;

  std::string format;     ///< "pt2", "safetensors", "pytorch zip"
  std::string family;     ///< built-in family name, or "" for exported programs
  std::string spec_json;  ///< the family's spec, canonical JSON; "" for exported programs
  /// Provenance and plan carried in the file ("pollard.plan", "pollard.provenance", ...), JSON texts by key.
  std::map<std::string, std::string> metadata;
  std::string sha256;  ///< of the input file's bytes
};

struct LoadOptions {
  std::string family;     ///< force a built-in family instead of recognising it
  std::string spec_json;  ///< force its spec
  std::string key;        ///< sub-tree of a .pt checkpoint that holds the weights ("model", "state_dict")
  bool check_crc = true;  ///< verify zip CRCs
};

/// Reads .pt2, .safetensors or a zip .pt by content, never by extension alone.
/// Throws UserError (Exit::BadFile or Exit::Unsupported) and leaves nothing behind.
Model load(const std::filesystem::path& path, const LoadOptions& options = {});

/// Throws UserError for an output that save() could not write, before any work is done: what check_output_path
/// refuses, and E0226 for an extension that says no known format.
void check_save_path(const std::filesystem::path& path, const std::vector<std::filesystem::path>& inputs,
                     bool force);

struct SaveOptions {
  bool force = false;  ///< overwrite an existing file
};

/// Writes by extension (.pt2, .safetensors, .onnx), atomically: the old file or the whole new one.
void save(const Model& model, const std::filesystem::path& path, const SaveOptions& options = {});

}  // namespace pollard::models
