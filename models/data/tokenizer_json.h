// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "graph/error.h"
#include "models/data/byte_bpe.h"
#include "models/data/wordpiece.h"

namespace pollard::models {

/// E0372: a tokenizer file that is no such tokenizer as we read.
UserError tokenizer_error(const std::string& message);

/// A JSON file of a checkpoint's folder, at most 64 MiB. Throws UserError E0302 or E0326.
nlohmann::json read_tokenizer_file(const std::filesystem::path& path);

/// What a tokenizer.json (huggingface tokenizers, version 1.0) of type BPE over bytes says. Parts that would change
/// ids in a way we do not know are refused, never skipped: UserError E0372.
ByteBpe byte_bpe_from_json(const nlohmann::json& file);

/// A tokenizer.json of type WordPiece: the token of each id, and the options.
struct WordPieceFile {
  std::vector<std::string> vocabulary;
  WordPieceOptions options;
};
WordPieceFile word_piece_from_json(const nlohmann::json& file);

}  // namespace pollard::models
