// SPDX-License-Identifier: Apache-2.0
#include "models/data/text_tokens.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/data/byte_bpe.h"
#include "models/data/tokenizer_json.h"

namespace pollard::models {
namespace {

namespace fs = std::filesystem;

bool holds(const fs::path& folder, const char* name) {
  std::error_code error;
  return fs::is_regular_file(folder / name, error);
}

bool is_byte_bpe(const fs::path& folder) {
  if (holds(folder, "vocab.txt")) return false;
  if (!holds(folder, "tokenizer.json")) return holds(folder, "vocab.json");
  const nlohmann::json file = read_tokenizer_file(folder / "tokenizer.json");
  return file.is_object() && file.contains("model") && file["model"].is_object() &&
         file["model"].value("type", nlohmann::json()) == "BPE";
}

std::size_t longest_of(const fs::path& folder) {
  constexpr std::int64_t kUnsaid = 1024, kMost = 1 << 20;
  if (!holds(folder, "tokenizer_config.json")) return kUnsaid;
  const nlohmann::json file = read_tokenizer_file(folder / "tokenizer_config.json");
  const auto found = file.is_object() ? file.find("model_max_length") : file.end();
  if (found == file.end() || !found->is_number_integer()) return kUnsaid;
  const auto length = found->get<std::int64_t>();
  return static_cast<std::size_t>(length >= 1 && length <= kMost ? length : kUnsaid);
}

}  // namespace

TokenBatch text_tokens(const fs::path& folder, std::span<const std::string> texts) {
  if (!is_byte_bpe(folder)) return WordPiece::from_folder(folder).batch(texts);
  const ByteBpe tokenizer = ByteBpe::from_folder(folder);
  const std::size_t longest = longest_of(folder);
  std::vector<std::vector<std::int64_t>> rows;
  for (const std::string& text : texts) {
    rows.push_back(tokenizer.ids(text));
    rows.back().resize(std::min(rows.back().size(), longest));
  }
  return padded(rows, 0);
}

}  // namespace pollard::models
