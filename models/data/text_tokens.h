// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "models/data/wordpiece.h"

namespace pollard::models {

/// Token ids of texts by the tokenizer that a checkpoint's folder holds: byte-level BPE (tokenizer.json of that type, or
/// vocab.json with merges.txt) or WordPiece (anything else). Texts are cut to the tokenizer's longest length: for BPE
/// model_max_length of tokenizer_config.json, or 1024 where that says none. BPE has no padding token: 0 fills rows up,
/// and only the mask tells. Throws what ByteBpe::from_folder() and WordPiece::from_folder() throw.
TokenBatch text_tokens(const std::filesystem::path& folder, std::span<const std::string> texts);

}  // namespace pollard::models
