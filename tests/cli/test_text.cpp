// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

TEST(Text, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(display_width("conv1"), 5);
  EXPECT_EQ(display_width("größe"), 5);
  EXPECT_EQ(display_width("重み"), 4);
  EXPECT_EQ(display_width("e\u0301"), 1);
  EXPECT_EQ(display_width("\xff\xfe"), 2);
}

TEST(Text, PrintableShowsWhatATerminalWouldObey) {
  EXPECT_EQ(printable("a\033[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable("two\nlines\tand\rbell\a"), "two\\nlines\\tand\\x0dbell\\x07");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\u202egnp.exe"), "\\u{202e}gnp.exe");
  EXPECT_EQ(printable("\u009b31m"), "\\u{9b}31m");
  EXPECT_EQ(printable("größe 重み"), "größe 重み");
}

TEST(Text, PrintableEscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("a\xff"), "a\\xff");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "an overlong slash";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82") << "cut off";
}

TEST(Text, CutMiddleKeepsBothEnds) {
  EXPECT_EQ(cut_middle("layers.0.attention.output.weight", 20), "layers.0...ut.weight");
  EXPECT_EQ(cut_middle("short", 20), "short");
  EXPECT_EQ(display_width(cut_middle("重み重み重み重み重み", 11)), 11);
  EXPECT_LE(display_width(cut_middle("重み重み重み重み重み", 12)), 12);
}

TEST(Text, CutEndKeepsTheBeginning) {
  EXPECT_EQ(cut_end("a residual stream", 10), "a resid...");
  EXPECT_EQ(cut_end("abcdef", 3), "abc");
}

TEST(Text, WrapBreaksAtSpacesAndKeepsLongWords) {
  const std::vector<std::string> expected{"one two", "three", "a-very-long-word", "end"};
  EXPECT_EQ(wrap("one two three a-very-long-word end", 8), expected);
  EXPECT_EQ(wrap("", 8), std::vector<std::string>{""});
  EXPECT_EQ(wrap("a\nb", 8), (std::vector<std::string>{"a", "b"}));
}

TEST(Text, SplitAndJoinAreInverse) {
  EXPECT_EQ(split("a,b,,c", ','), (std::vector<std::string>{"a", "b", "", "c"}));
  EXPECT_EQ(join(split("a,b,,c", ','), ","), "a,b,,c");
}

}  // namespace
}  // namespace pollard::cli
