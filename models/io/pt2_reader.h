// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/io/zip_reader.h"
#include "models/model.h"

namespace pollard::models::io {

/// Whether the archive is a torch.export archive (.pt2).
bool is_pt2(const ZipReader& archive);

/// Reads a torch.export archive: the graph of models/<name>.json, its weights and constants, the sample inputs when
/// they are plain tensors, and pollard's own entries under extra/. Nothing in the file is executed.
/// Throws UserError: E0340 to E0362 for a broken file, E0411 for a construct this version cannot handle.
Model read_pt2(const ZipReader& archive);

}  // namespace pollard::models::io
