// SPDX-License-Identifier: Apache-2.0
#include "models/data/plain_line.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <algorithm>

namespace pollard::models {

std::string lower_case_line(std::string_view text) {
  icu::UnicodeString letters =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
  std::string out;
  letters.toLower(icu::Locale::getRoot()).toUTF8String(out);
  std::ranges::replace(out, '\n', ' ');
  return out;
}

}  // namespace pollard::models
