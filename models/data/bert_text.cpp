// SPDX-License-Identifier: Apache-2.0
#include "models/data/bert_text.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "graph/error.h"

namespace pollard::models {
namespace {

constexpr UChar32 kReplacement = 0xFFFD;

/// Calls use(c) for each code point.
template <class Use>
void each_char(const icu::UnicodeString& text, Use use) {
  for (std::int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) use(text.char32At(i));
}

/// Malformed bytes give U+FFFD.
icu::UnicodeString decode(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
}

void append(std::string& out, UChar32 c) { icu::UnicodeString(c).toUTF8String(out); }

/// The general category as of Unicode 7, which the reference tokenizer knows: younger characters have none.
UCharCategory category(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] > 7 ? U_UNASSIGNED : static_cast<UCharCategory>(u_charType(c));
}

bool is_space(UChar32 c) { return u_isUWhiteSpace(c) != 0; }

bool is_removed(UChar32 c) {
  if (c == 0 || c == kReplacement) return true;
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const UCharCategory type = category(c);
  return type == U_CONTROL_CHAR || type == U_FORMAT_CHAR || type == U_PRIVATE_USE_CHAR || type == U_SURROGATE;
}

bool is_punctuation(UChar32 c) {
  const bool ascii_symbol =
      (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return ascii_symbol || (U_GC_P_MASK & U_MASK(category(c))) != 0;
}

/// The blocks of unified and compatibility ideographs that BERT's authors list.
bool is_chinese(UChar32 c) {
  static constexpr std::array<std::array<UChar32, 2>, 8> kBlocks{{{0x4E00, 0x9FFF},
                                                                  {0x3400, 0x4DBF},
                                                                  {0x20000, 0x2A6DF},
                                                                  {0x2A700, 0x2B73F},
                                                                  {0x2B740, 0x2B81F},
                                                                  {0x2B920, 0x2CEAF},
                                                                  {0xF900, 0xFAFF},
                                                                  {0x2F800, 0x2FA1F}}};
  return std::ranges::any_of(kBlocks, [c](const auto& block) { return c >= block[0] && c <= block[1]; });
}

const icu::Normalizer2& canonical_decomposition() {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfd = icu::Normalizer2::getNFDInstance(error);
  POLLARD_CHECK(U_SUCCESS(error), u_errorName(error));
  return *nfd;
}

/// The character without accents in lower case: its canonical decomposition less the marks.
void append_plain(std::string& out, UChar32 c) {
  static const icu::Normalizer2& nfd = canonical_decomposition();
  icu::UnicodeString parts;
  if (!nfd.getDecomposition(c, parts)) parts = c;
  each_char(parts, [&](UChar32 part) {
    if (category(part) != U_NON_SPACING_MARK) append(out, u_tolower(part));
  });
}

}  // namespace

std::string normalise_bert_text(std::string_view text, bool lowercase) {
  std::string out;
  each_char(decode(text), [&](UChar32 c) {
    if (is_removed(c)) return;
    const bool chinese = is_chinese(c);
    if (chinese) out += ' ';
    if (is_space(c))
      out += ' ';
    else if (lowercase)
      append_plain(out, c);
    else
      append(out, c);
    if (chinese) out += ' ';
  });
  return out;
}

std::vector<std::string> split_bert_words(std::string_view text) {
  std::vector<std::string> words;
  bool open = false;
  each_char(decode(text), [&](UChar32 c) {
    if (is_space(c)) {
      open = false;
      return;
    }
    const bool alone = is_punctuation(c);
    if (!open || alone) words.emplace_back();
    append(words.back(), c);
    open = !alone;
  });
  return words;
}

std::size_t count_chars(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

}  // namespace pollard::models
