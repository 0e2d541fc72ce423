// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pollard::models {

struct WordPieceOptions {
  bool lowercase = true;             ///< lower-cases and removes accents, as uncased BERT does
  std::int64_t max_length = 512;     ///< tokens of one text, [CLS] and [SEP] included
  std::size_t max_word_chars = 100;  ///< longer words are unknown
};

/// Token ids of a batch of texts, padded to the longest: both [B, T], int64.
struct TokenBatch {
  at::Tensor ids;
  at::Tensor mask;  ///< 1 for tokens, 0 for padding
};
/// Rows of ids of any lengths, filled up with `pad`.
TokenBatch padded(const std::vector<std::vector<std::int64_t>>& rows, std::int64_t pad);

/// BERT's WordPiece tokenizer: text is cleaned, split at white space and punctuation, and each word into the longest
/// known pieces from the left, the later ones written "##piece". Wu et al., 2016 (arXiv 1609.08144). Gives the ids
/// of the reference implementation (tests/models/data/wordpiece.json).
class WordPiece {
 public:
  /// `vocabulary`: the token of each id; must hold [PAD], [UNK], [CLS] and [SEP] (UserError E0371 otherwise).
  explicit WordPiece(const std::vector<std::string>& vocabulary, WordPieceOptions options = {});
  /// From a checkpoint's folder: vocab.txt, and where present tokenizer_config.json (do_lower_case) and
  /// sentence_bert_config.json (max_seq_length); without a vocab.txt all from tokenizer.json. Throws UserError E0302,
  /// E0371 or E0372.
  static WordPiece from_folder(const std::filesystem::path& folder);

  /// One text: [CLS], its pieces cut to the longest length, [SEP].
  std::vector<std::int64_t> ids(std::string_view text) const;
  TokenBatch batch(std::span<const std::string> texts) const;
  std::int64_t max_length() const { return options_.max_length; }

 private:
  using Vocabulary = std::unordered_map<std::string, std::int64_t>;
  std::int64_t id_of(const std::string& token) const;
  void add_text(std::string_view text, std::vector<std::int64_t>& out) const;
  void add_word(std::string_view word, std::vector<std::int64_t>& out) const;

  WordPieceOptions options_;
  Vocabulary ids_;
  std::int64_t pad_, unknown_, first_, last_;
};

}  // namespace pollard::models
