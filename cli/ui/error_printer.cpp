// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/error_printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

constexpr int label_width = 6;
constexpr int indent = 2;

// Newlines inside a part are layout (a list of names); everything else unprintable is escaped.
std::string printable_lines(const std::string& text) {
  std::vector<std::string> lines = split(text, '\n');
  for (std::string& line : lines) line = printable(line);
  return join(lines, "\n");
}

void append_part(std::string& out, const std::string& label, const std::string& text, int width) {
  if (text.empty()) return;
  std::string lead = std::string(indent, ' ') + pad_right(label, label_width);
  for (const std::string& line : wrap(printable_lines(text), width - indent - label_width)) {
    out += "\n" + lead + line;
    lead.assign(indent + label_width, ' ');
  }
}

std::string headline(const std::string& tag, std::string_view style, const std::string& subject,
                     const std::string& message, int width, const Theme& theme) {
  const std::string name = printable_lines(subject);
  const std::string text = (name.empty() ? "" : name + ": ") + printable_lines(message);
  const std::vector<std::string> lines = wrap(tag + " " + text, width);
  std::string out = join(lines, "\n  ");
  if (lines.front().starts_with(tag)) out = theme.paint(style, tag) + out.substr(tag.size());
  const std::size_t at = name.empty() ? std::string::npos : out.find(name);
  if (at != std::string::npos) out.replace(at, name.size(), theme.paint(theme.subject, name));
  return out;
}

void append_exit(std::string& out, Exit exit, int width, const Theme& theme) {
  const std::string note = fmt::format("(exit {})", static_cast<int>(exit));
  const std::size_t last_line = out.rfind('\n') == std::string::npos ? 0 : out.rfind('\n') + 1;
  const bool fits = display_width(out.substr(last_line)) + 2 + display_width(note) <= width;
  out += (fits ? "  " : "\n  ") + theme.paint(theme.path, note) + "\n";
}

}  // namespace

std::string format_error(const UserError::Parts& parts, int width, const Theme& theme) {
  const std::string tag = parts.code.empty() ? "error" : "error[" + printable(parts.code) + "]";
  std::string out = headline(tag, theme.error, parts.subject, parts.message, width, theme);
  append_part(out, "at", parts.where, width);
  append_part(out, "why", parts.why, width);
  append_part(out, "help", parts.help, width);
  append_exit(out, parts.exit, width, theme);
  return out;
}

std::string format_bug(const std::string& what, const std::string& command_line, int width,
                       const Theme& theme) {
  std::string out = headline("bug", theme.error, "", what, width, theme);
  append_part(out, "at", command_line, width);
  append_part(out, "why", "this is a mistake in pollard, not in your file or command", width);
  append_part(out, "help", "please report it with this message and the output of \"pollard doctor\"", width);
  append_exit(out, Exit::Bug, width, theme);
  return out;
}

std::string format_warning(const std::string& message, int width, const Theme& theme) {
  return headline("warning", theme.warning, "", message, width, theme) + "\n";
}

}  // namespace pollard::cli
