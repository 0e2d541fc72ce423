// SPDX-License-Identifier: Apache-2.0
#include "models/data/wordpiece.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/data/bert_text.h"
#include "models/data/tokenizer_json.h"
#include "models/io/file.h"

namespace pollard::models {
namespace {

/// Kept whole where they stand in a text.
constexpr std::array<std::string_view, 5> kSpecial{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

std::string read_text(const std::filesystem::path& path) {
  const auto bytes = io::read_file(path, std::uint64_t{64} << 20);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const bool carriage_return = end > begin && text[end - 1] == '\r';
    lines.push_back(text.substr(begin, end - begin - (carriage_return ? 1 : 0)));
    begin = end + 1;
  }
  return lines;
}

nlohmann::json read_object(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return nlohmann::json::object();
  auto json = nlohmann::json::parse(read_text(path), nullptr, false);
  return json.is_object() ? json : nlohmann::json::object();
}

/// Where the next special token begins at or after `from`, and which; npos when there is none.
std::pair<std::size_t, std::string_view> next_special(std::string_view text, std::size_t from) {
  std::pair<std::size_t, std::string_view> best{std::string_view::npos, {}};
  for (const std::string_view token : kSpecial)
    if (const auto at = text.find(token, from); at < best.first) best = {at, token};
  return best;
}

}  // namespace

WordPiece::WordPiece(const std::vector<std::string>& vocabulary, WordPieceOptions options)
    : options_(options) {
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    ids_.emplace(vocabulary[id], static_cast<std::int64_t>(id));
  pad_ = id_of("[PAD]"), unknown_ = id_of("[UNK]"), first_ = id_of("[CLS]"), last_ = id_of("[SEP]");
  options_.max_length = std::max<std::int64_t>(options_.max_length, 2);
}

std::int64_t WordPiece::id_of(const std::string& token) const {
  if (const auto found = ids_.find(token); found != ids_.end()) return found->second;
  throw UserError({.code = "E0371",
                   .exit = Exit::BadFile,
                   .subject = "vocabulary",
                   .message = "lacks the token " + token + ": it is no WordPiece vocabulary",
                   .where = {},
                   .why = {},
                   .help = "use the vocab.txt that belongs to the model"});
}

WordPiece WordPiece::from_folder(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(folder / "vocab.txt", error) &&
      std::filesystem::is_regular_file(folder / "tokenizer.json", error)) {
    const WordPieceFile file = word_piece_from_json(read_tokenizer_file(folder / "tokenizer.json"));
    return WordPiece(file.vocabulary, file.options);
  }
  WordPieceOptions options;
  const auto tokenizer = read_object(folder / "tokenizer_config.json");
  if (const auto found = tokenizer.find("do_lower_case"); found != tokenizer.end() && found->is_boolean())
    options.lowercase = found->get<bool>();
  const auto sentence = read_object(folder / "sentence_bert_config.json");
  if (const auto found = sentence.find("max_seq_length");
      found != sentence.end() && found->is_number_integer())
    options.max_length = std::clamp<std::int64_t>(found->get<std::int64_t>(), 2, 1 << 20);
  return WordPiece(read_lines(folder / "vocab.txt"), options);
}

std::vector<std::int64_t> WordPiece::ids(std::string_view text) const {
  std::vector<std::int64_t> out{first_};
  for (std::size_t begin = 0; begin < text.size();) {
    const auto [at, token] = next_special(text, begin);
    add_text(text.substr(begin, at - begin), out);
    if (token.empty()) break;
    const auto known = ids_.find(std::string(token));
    out.push_back(known == ids_.end() ? unknown_ : known->second);
    begin = at + token.size();
  }
  const auto longest = static_cast<std::size_t>(options_.max_length);
  if (out.size() + 1 > longest) out.resize(longest - 1);
  out.push_back(last_);
  return out;
}

void WordPiece::add_text(std::string_view text, std::vector<std::int64_t>& out) const {
  for (const std::string& word : split_bert_words(normalise_bert_text(text, options_.lowercase)))
    add_word(word, out);
}

/// The longest piece that fits, then the longest of what is left; a word with an unknown rest is unknown.
void WordPiece::add_word(std::string_view word, std::vector<std::int64_t>& out) const {
  const std::size_t before = out.size();
  bool known = count_chars(word) <= options_.max_word_chars;
  for (std::size_t begin = 0; known && begin < word.size();) {
    std::size_t end = word.size();
    const std::string prefix = begin == 0 ? "" : "##";
    auto found = ids_.end();
    for (; end > begin; --end) {
      const bool inside_char = end < word.size() && (static_cast<unsigned char>(word[end]) & 0xC0) == 0x80;
      if (inside_char) continue;
      found = ids_.find(prefix + std::string(word.substr(begin, end - begin)));
      if (found != ids_.end()) break;
    }
    known = found != ids_.end();
    if (known) out.push_back(found->second);
    begin = end;
  }
  if (known) return;
  out.resize(before);
  out.push_back(unknown_);
}

TokenBatch WordPiece::batch(std::span<const std::string> texts) const {
  std::vector<std::vector<std::int64_t>> rows;
  for (const std::string& text : texts) rows.push_back(ids(text));
  return padded(rows, pad_);
}

TokenBatch padded(const std::vector<std::vector<std::int64_t>>& rows, std::int64_t pad) {
  std::size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  const std::vector<std::int64_t> shape{std::ssize(rows), static_cast<std::int64_t>(longest)};
  TokenBatch out{at::full(shape, pad, at::kLong), at::zeros(shape, at::kLong)};
  auto* id = out.ids.mutable_data_ptr<std::int64_t>();
  auto* keep = out.mask.mutable_data_ptr<std::int64_t>();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::ranges::copy(rows[r], id + r * longest);
    std::fill_n(keep + r * longest, rows[r].size(), 1);
  }
  return out;
}

}  // namespace pollard::models
