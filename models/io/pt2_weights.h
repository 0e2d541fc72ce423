// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "graph/program.h"
#include "kernels/executor.h"
#include "models/io/zip_reader.h"

namespace pollard::models::io::pt2 {

/// Reads every parameter, buffer and constant of an archive, checked against what the program says about it:
/// shape and element type must agree, and the record must hold the bytes they need. Nothing is allocated before
/// that is known. Names that share one tensor share it here too, and the program's inputs are marked tied.
/// Throws E0360 to E0362 (Exit::BadFile), E0411 for weights that are pickled.
kernels::Weights read_weights(const ZipReader& archive, const std::string& model, graph::Program& program);

}  // namespace pollard::models::io::pt2
