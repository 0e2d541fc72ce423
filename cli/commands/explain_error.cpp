// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/explain_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/ui/text.h"
#include "graph/error_catalog.h"

namespace pollard::cli {

bool is_error_code(const std::string& text) {
  return text.size() == 5 && (text[0] == 'E' || text[0] == 'e') &&
         std::all_of(text.begin() + 1, text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

Exit explain_error(const std::string& code, Context& context) {
  const ErrorEntry* entry = find_error("E" + code.substr(1));
  if (entry == nullptr)
    throw UserError({.code = "E0203",
                     .exit = Exit::Usage,
                     .subject = code,
                     .message = "there is no error of this code",
                     .where = {},
                     .why = {},
                     .help = "a code stands in brackets at the start of every error message"});
  if (context.json())
    context.print_json({{"code", entry->code},
                        {"exit", static_cast<int>(entry->exit)},
                        {"title", entry->title},
                        {"explanation", entry->explanation},
                        {"example", entry->example},
                        {"fix", entry->fix}});
  const Theme& theme = context.theme();
  std::string text = theme.paint(theme.subject, fmt::format("{}  {}", entry->code, entry->title)) + "\n\n";
  for (const std::string_view part : {entry->explanation, entry->fix})
    text += join(wrap(part, std::min(context.width(), 100)), "\n") + "\n\n";
  context.print(text + fmt::format("for example: {}\nexit status: {}\n", entry->example,
                                   static_cast<int>(entry->exit)));
  return Exit::Ok;
}

}  // namespace pollard::cli
