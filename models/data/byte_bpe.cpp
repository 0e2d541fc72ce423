// SPDX-License-Identifier: Apache-2.0
#include "models/data/byte_bpe.h"

#include <unicode/normalizer2.h>

#include <algorithm>
#include <array>
#include <queue>

#include "graph/error.h"
#include "models/data/tokenizer_json.h"

namespace pollard::models {
namespace {

/// Contractions, words, numbers, signs, each with the blank before it; white space by itself.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::int32_t kPatternPatience =
    2'000;  ///< ICU's steps for one match; a step is about a millisecond

icu::UnicodeString decode(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
}

std::string encode(const icu::UnicodeString& text) {
  std::string out;
  return text.toUTF8String(out);
}

/// ICU's \s lacks two of Unicode's white spaces.
std::shared_ptr<const icu::RegexPattern> compile(std::string pattern) {
  for (const auto& [letter, name] : {std::pair{"\\s", "\\p{White_Space}"}, {"\\S", "\\P{White_Space}"}})
    for (std::size_t at = 0; (at = pattern.find(letter, at)) != std::string::npos;
         at += std::string_view(name).size())
      pattern.replace(at, 2, name);
  UErrorCode error = U_ZERO_ERROR;
  std::shared_ptr<const icu::RegexPattern> out(icu::RegexPattern::compile(decode(pattern), 0, error));
  if (U_FAILURE(error)) throw tokenizer_error("its pattern is no regular expression: " + pattern);
  return out;
}

/// The matches of a pattern and what lies between them.
void split(const icu::RegexPattern& pattern, const icu::UnicodeString& text,
           std::vector<icu::UnicodeString>& out) {
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(pattern.matcher(text, error));
  if (U_SUCCESS(error)) matcher->setTimeLimit(kPatternPatience, error);
  std::int32_t end = 0;
  const auto add = [&](std::int32_t from, std::int32_t to) {
    if (to > from) out.emplace_back(text, from, to - from);
  };
  while (U_SUCCESS(error) && matcher->find(error)) {
    const std::int32_t start = matcher->start(error);
    add(end, start);
    end = matcher->end(error);
    add(start, end);
  }
  if (U_FAILURE(error))
    throw tokenizer_error(std::string("its pattern failed on this text: ") + u_errorName(error));
  add(end, text.length());
}

bool is_printable_byte(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/// The byte each of the characters below U+0144 stands for; -1 for none.
std::array<int, 0x144> printable_table() {
  std::array<int, 0x144> table;
  table.fill(-1);
  std::size_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    table[is_printable_byte(byte) ? static_cast<std::size_t>(byte) : next++] = byte;
  return table;
}

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

}  // namespace

std::string from_printable_bytes(const std::string& token) {
  static const auto table = printable_table();
  const icu::UnicodeString text = decode(token);
  std::string out;
  for (std::int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) {
    const UChar32 c = text.char32At(i);
    const int byte = c < static_cast<UChar32>(table.size()) ? table[static_cast<std::size_t>(c)] : -1;
    if (byte < 0) return token;
    out += static_cast<char>(byte);
  }
  return out;
}

ByteBpe::ByteBpe(Vocabulary vocabulary, const Merges& merges, ByteBpeOptions options)
    : options_(std::move(options)), ids_(std::move(vocabulary)) {
  const auto id_of = [this](const std::string& token, const char* what) {
    const auto found = ids_.find(token);
    if (found == ids_.end()) throw tokenizer_error(std::string("its vocabulary lacks ") + what);
    return found->second;
  };
  for (int byte = 0; byte < 256; ++byte)
    bytes_.push_back(id_of(std::string(1, static_cast<char>(byte)), "a byte"));
  for (const auto& [token, id] : ids_) {
    if (id < 0 || id > INT32_MAX) throw tokenizer_error("an id is out of range");
    tokens_.emplace(id, token);
  }
  for (const auto& [left, right] : merges) {
    const auto rank = static_cast<std::int32_t>(merges_.size());
    merges_.try_emplace(pair_key(id_of(left, "part of a merge"), id_of(right, "part of a merge")),
                        Merge{rank, id_of(left + right, "the result of a merge")});
  }
  // The longest first: of two that begin at one place it counts.
  std::ranges::sort(options_.added,
                    [](const auto& a, const auto& b) { return a.content.size() > b.content.size(); });
  std::erase_if(options_.added, [](const auto& token) { return token.content.empty(); });
  for (const AddedToken& token : options_.added) tokens_[token.id] = token.content;
  if (options_.patterns.empty()) options_.patterns.emplace_back();
  for (const std::string& pattern : options_.patterns)
    patterns_.push_back(compile(pattern.empty() ? kGpt2Pattern : pattern));
}

std::vector<std::int64_t> ByteBpe::ids(std::string_view text) const {
  std::vector<std::int64_t> out = options_.before;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t at = std::string_view::npos;
    const AddedToken* next = nullptr;
    for (const AddedToken& token : options_.added)
      if (const std::size_t found = text.find(token.content, begin); found < at) at = found, next = &token;
    add_text(text.substr(begin, at - begin), out);
    if (!next) break;
    out.push_back(next->id);
    begin = at + next->content.size();
  }
  out.insert(out.end(), options_.after.begin(), options_.after.end());
  return out;
}

void ByteBpe::add_text(std::string_view text, std::vector<std::int64_t>& out) const {
  if (text.empty()) return;
  for (const std::string& word : words(text)) add_word(word, out);
}

std::vector<std::string> ByteBpe::words(std::string_view text) const {
  icu::UnicodeString all = decode(text);
  if (options_.compose) {
    UErrorCode error = U_ZERO_ERROR;
    all = icu::Normalizer2::getNFCInstance(error)->normalize(all, error);
    POLLARD_CHECK(U_SUCCESS(error), u_errorName(error));
  }
  if (options_.add_prefix_space && all.char32At(0) != ' ') all.insert(0, u' ');
  std::vector<icu::UnicodeString> parts{all};
  for (const auto& pattern : patterns_) {
    std::vector<icu::UnicodeString> finer;
    for (const icu::UnicodeString& part : parts) split(*pattern, part, finer);
    parts = std::move(finer);
  }
  std::vector<std::string> out;
  for (const icu::UnicodeString& part : parts) out.push_back(encode(part));
  return out;
}

const ByteBpe::Merge* ByteBpe::merge_of(std::int64_t left, std::int64_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

/// Merges the earliest learnt pair, of equals the leftmost, until none is left. Symbols form a chain, candidates a
/// queue, so that a long word without blanks takes n log n.
void ByteBpe::add_word(const std::string& word, std::vector<std::int64_t>& out) const {
  if (options_.whole_words_first)
    if (const auto whole = ids_.find(word); whole != ids_.end()) return out.push_back(whole->second);
  struct Symbol {
    std::int64_t id;
    std::size_t previous, next;
  };
  struct Candidate {
    std::int32_t rank;
    std::size_t left;
    std::int64_t left_id, right_id;
    bool operator<(const Candidate& other) const {
      return std::pair(rank, left) > std::pair(other.rank, other.left);  // the queue gives the largest
    }
  };
  constexpr auto kNone = static_cast<std::size_t>(-1);
  std::vector<Symbol> chain;
  for (const char byte : word)
    chain.push_back({bytes_[static_cast<unsigned char>(byte)], chain.size() - 1, chain.size() + 1});
  if (!chain.empty()) chain.front().previous = chain.back().next = kNone;
  std::priority_queue<Candidate> queue;
  const auto consider = [&](std::size_t left) {
    if (left == kNone || chain[left].next == kNone) return;
    const std::int64_t a = chain[left].id, b = chain[chain[left].next].id;
    if (const Merge* merge = merge_of(a, b)) queue.push({merge->rank, left, a, b});
  };
  for (std::size_t i = 0; i < chain.size(); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Symbol& left = chain[c.left];
    if (left.id != c.left_id || left.next == kNone || chain[left.next].id != c.right_id) continue;
    Symbol& right = chain[left.next];
    left.id = merge_of(c.left_id, c.right_id)->id;
    left.next = right.next;
    right.id = -1;  // candidates that still name it are stale
    if (left.next != kNone) chain[left.next].previous = c.left;
    consider(left.previous);
    consider(c.left);
  }
  for (std::size_t i = chain.empty() ? kNone : 0; i != kNone; i = chain[i].next) out.push_back(chain[i].id);
}

std::string ByteBpe::text(std::span<const std::int64_t> ids, bool with_special) const {
  std::string bytes;
  for (const std::int64_t id : ids) {
    const bool special = std::ranges::any_of(
        options_.added, [id](const AddedToken& token) { return token.id == id && token.special; });
    if (special && !with_special) continue;
    if (const auto found = tokens_.find(id); found != tokens_.end()) bytes += found->second;
  }
  return encode(decode(bytes));
}

}  // namespace pollard::models
