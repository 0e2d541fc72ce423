// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unicode/regex.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pollard::models {

/// A token that is kept whole wherever it stands in a text.
struct AddedToken {
  std::string content;
  std::int64_t id = 0;
  bool special = true;  ///< left out when ids become text
};

struct ByteBpeOptions {
  /// Regular expressions that cut a text into words, one after the other; "" is GPT-2's, as is none at all.
  std::vector<std::string> patterns;
  bool add_prefix_space = false;   ///< a text that does not begin with a blank gets one
  bool whole_words_first = false;  ///< a word that is a token itself is not merged up
  bool compose = false;            ///< to Unicode's composed form (NFC) first
  std::vector<AddedToken> added;
  std::vector<std::int64_t> before, after;  ///< ids put around a text
};

/// Byte-pair encoding of bytes, as GPT-2 and Llama 3 use it (Sennrich et al., 2016, arXiv 1508.07909; Radford et al.,
/// 2019): a text is cut into words by a regular expression, a word into its UTF-8 bytes, and neighbours are merged
/// in the order the pairs were learnt. Every text has ids, and ids give the text back. The ids are those of the
/// reference implementation (tests/models/data/make_byte_bpe.py).
class ByteBpe {
 public:
  using Vocabulary = std::unordered_map<std::string, std::int64_t>;  ///< raw bytes of a token -> id
  using Merges = std::vector<std::pair<std::string, std::string>>;   ///< raw bytes, most urgent first

  /// Throws UserError E0372: a byte without a token, a merge of tokens that are not there, a pattern that is none.
  ByteBpe(Vocabulary vocabulary, const Merges& merges, ByteBpeOptions options = {});
  /// From a checkpoint's folder: tokenizer.json, or vocab.json with merges.txt. Throws UserError E0302 (no such
  /// file), E0326 (no JSON) or E0372 (another kind of tokenizer).
  static ByteBpe from_folder(const std::filesystem::path& folder);

  std::vector<std::int64_t> ids(std::string_view text) const;
  /// Bytes that are no UTF-8 give U+FFFD; unknown ids nothing.
  std::string text(std::span<const std::int64_t> ids, bool with_special = false) const;

 private:
  struct Merge {
    std::int32_t rank;
    std::int64_t id;
  };
  void add_text(std::string_view text, std::vector<std::int64_t>& out) const;
  void add_word(const std::string& word, std::vector<std::int64_t>& out) const;
  std::vector<std::string> words(std::string_view text) const;
  const Merge* merge_of(std::int64_t left, std::int64_t right) const;

  ByteBpeOptions options_;
  Vocabulary ids_;
  std::unordered_map<std::int64_t, std::string> tokens_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::vector<std::int64_t> bytes_;  ///< the id of each byte
  std::vector<std::shared_ptr<const icu::RegexPattern>> patterns_;
};

/// Token files write a byte as a printable character: 33 to 126, 161 to 172 and 174 to 255 as themselves, the others,
/// in order, from U+0100. The bytes of such a text; the text itself where it has any other character.
std::string from_printable_bytes(const std::string& token);

}  // namespace pollard::models
