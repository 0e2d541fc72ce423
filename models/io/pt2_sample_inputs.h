// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "graph/program.h"
#include "models/io/zip_reader.h"

namespace pollard::models::io::pt2 {

/// The example inputs torch.export saved, as the program's user tensors in order. Empty when there are none or when
/// they are not what the program takes: they are a convenience, not part of the model.
std::vector<at::Tensor> read_sample_inputs(const ZipReader& archive, const std::string& model,
                                           const graph::Program& program);

}  // namespace pollard::models::io::pt2
