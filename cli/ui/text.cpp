// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/text.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace pollard::cli {
namespace {

struct Range {
  char32_t first, last;
};

template <std::size_t N>
bool in_ranges(const std::array<Range, N>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(), [c](Range r) { return c >= r.first && c <= r.last; });
}

constexpr std::array<Range, 9> zero_width{{{0x300, 0x36f},
                                           {0x483, 0x489},
                                           {0x591, 0x5bd},
                                           {0x64b, 0x65f},
                                           {0x200b, 0x200d},
                                           {0x1ab0, 0x1aff},
                                           {0x20d0, 0x20ff},
                                           {0xfe00, 0xfe0f},
                                           {0xfe20, 0xfe2f}}};

constexpr std::array<Range, 9> double_width{{{0x1100, 0x115f},
                                             {0x2e80, 0x303e},
                                             {0x3041, 0xa4cf},
                                             {0xac00, 0xd7a3},
                                             {0xf900, 0xfaff},
                                             {0xfe30, 0xfe6f},
                                             {0xff00, 0xff60},
                                             {0x1f300, 0x1faff},
                                             {0x20000, 0x3fffd}}};

// C0 and C1 controls, line and paragraph separators, direction marks and overrides, byte order mark.
constexpr std::array<Range, 7> unsafe{{{0x00, 0x1f},
                                       {0x7f, 0x9f},
                                       {0x200e, 0x200f},
                                       {0x2028, 0x202e},
                                       {0x2066, 0x2069},
                                       {0xfeff, 0xfeff},
                                       {0xe0000, 0xe007f}}};

int code_point_width(char32_t c) {
  if (in_ranges(zero_width, c)) return 0;
  return in_ranges(double_width, c) ? 2 : 1;
}

std::string hexadecimal(const char* format, unsigned value) {
  std::array<char, 16> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, value);
  return buffer.data();
}

std::string escape(char32_t c) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  return hexadecimal(c < 0x80 ? "\\x%02x" : "\\u{%x}", static_cast<unsigned>(c));
}

struct Sequence {
  int length = 1;
  char32_t value = 0, smallest = 0;
};

std::optional<Sequence> lead_byte(unsigned char byte) {
  if (byte < 0x80) return Sequence{1, byte, 0};
  if ((byte & 0xe0) == 0xc0) return Sequence{2, byte & 0x1fU, 0x80};
  if ((byte & 0xf0) == 0xe0) return Sequence{3, byte & 0x0fU, 0x800};
  if ((byte & 0xf8) == 0xf0) return Sequence{4, byte & 0x07U, 0x10000};
  return std::nullopt;
}

// Bytes of the longest prefix (or suffix) that fits in `width` columns.
std::size_t fitting_prefix(std::string_view text, int width) {
  std::size_t position = 0;
  for (int used = 0; position < text.size();) {
    std::size_t next = position;
    const auto c = next_code_point(text, next);
    used += c ? code_point_width(*c) : 1;
    if (used > width) break;
    position = next;
  }
  return position;
}

std::size_t fitting_suffix(std::string_view text, int width) {
  std::size_t start = 0;
  while (start < text.size() && display_width(text.substr(start)) > width) next_code_point(text, start);
  return start;
}

void wrap_line(std::string_view text, int width, std::vector<std::string>& lines) {
  std::string line;
  for (const std::string& word : split(text, ' ')) {
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      lines.push_back(line);
      line = word;
    } else {
      line += (line.empty() ? "" : " ") + word;
    }
  }
  lines.push_back(line);
}

}  // namespace

std::optional<char32_t> next_code_point(std::string_view text, std::size_t& position) {
  const std::size_t start = position++;
  auto sequence = lead_byte(static_cast<unsigned char>(text[start]));
  if (!sequence || start + static_cast<std::size_t>(sequence->length) > text.size()) return std::nullopt;
  for (int i = 1; i < sequence->length; ++i) {
    const auto byte = static_cast<unsigned char>(text[start + static_cast<std::size_t>(i)]);
    if ((byte & 0xc0) != 0x80) return std::nullopt;
    sequence->value = (sequence->value << 6) | (byte & 0x3fU);
  }
  const char32_t c = sequence->value;
  if (c < sequence->smallest || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return std::nullopt;
  position = start + static_cast<std::size_t>(sequence->length);
  return c;
}

int display_width(std::string_view text) {
  int width = 0;
  for (std::size_t position = 0; position < text.size();) {
    const auto c = next_code_point(text, position);
    width += c ? code_point_width(*c) : 1;
  }
  return width;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t start = position;
    const auto c = next_code_point(text, position);
    if (!c)
      out += hexadecimal("\\x%02x", static_cast<unsigned char>(text[start]));
    else if (in_ranges(unsafe, *c))
      out += escape(*c);
    else
      out += text.substr(start, position - start);
  }
  return out;
}

std::string cut_end(std::string_view text, int width) {
  if (display_width(text) <= width) return std::string(text);
  if (width < 4) return std::string(text.substr(0, fitting_prefix(text, width)));
  return std::string(text.substr(0, fitting_prefix(text, width - 3))) + "...";
}

std::string cut_middle(std::string_view text, int width) {
  if (width < 8) return cut_end(text, width);
  if (display_width(text) <= width) return std::string(text);
  const int head = (width - 3) / 2;
  return std::string(text.substr(0, fitting_prefix(text, head))) + "..." +
         std::string(text.substr(fitting_suffix(text, width - 3 - head)));
}

std::string pad_right(std::string_view text, int width) {
  return std::string(text) +
         std::string(static_cast<std::size_t>(std::max(0, width - display_width(text))), ' ');
}

std::string pad_left(std::string_view text, int width) {
  return std::string(static_cast<std::size_t>(std::max(0, width - display_width(text))), ' ') +
         std::string(text);
}

std::vector<std::string> wrap(std::string_view text, int width) {
  std::vector<std::string> lines;
  for (const std::string& line : split(text, '\n')) wrap_line(line, width, lines);
  return lines;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) out.append(i == 0 ? "" : separator).append(parts[i]);
  return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

}  // namespace pollard::cli
