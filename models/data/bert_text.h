// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pollard::models {

/// Text as BERT's vocabularies were counted: control characters removed, every white space a blank, blanks around
/// Chinese characters; when `lowercase`, also without accents and in lower case. UTF-8; malformed bytes vanish.
std::string normalise_bert_text(std::string_view text, bool lowercase);

/// Normalised text at white space, with every punctuation character a word of its own.
std::vector<std::string> split_bert_words(std::string_view text);

/// Code points of well-formed UTF-8.
std::size_t count_chars(std::string_view text);

}  // namespace pollard::models
