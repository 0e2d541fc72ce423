// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <sstream>

#include "cli/ui/table.h"
#include "cli/ui/text.h"
#include "graph/error.h"

namespace pollard::cli {
namespace {

Table groups() {
  Table table(
      {{"group"}, {"units", true}, {"params", true}, {"what couples it", false, Column::Cut::Middle}});
  table.add({"G01", count_cell(16), short_cell(12400), "residual stream, stage 1"});
  table.add({"G02", count_cell(1032), short_cell(48100),
             "layers.0.attention.self.query, layers.0.attention.self.key, head"});
  return table;
}

TEST(Table, AlignsNumbersRightWithTwoSpacesBetween) {
  Table table({{"", false}, {"before", true}, {"after", true}});
  table.add({"parameters", count_cell(855770), count_cell(401233)});
  table.add({"MACs", short_cell(126.5e6), short_cell(62.9e6)});
  EXPECT_EQ(table.text(80),
            "             before    after\n"
            "parameters  855,770  401,233\n"
            "MACs        126.5 M   62.9 M\n");
}

TEST(Table, CutsWideNamesInTheMiddleToFit) {
  EXPECT_EQ(groups().text(70),
            "group  units  params  what couples it\n"
            "G01       16  12.4 k  residual stream, stage 1\n"
            "G02    1,032  48.1 k  layers.0.attention.sel...ttention.self.key, head\n");
  std::istringstream lines(groups().text(70));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), 70) << line;
}

TEST(Table, BecomesOneRecordABlockBelow60Columns) {
  EXPECT_EQ(groups().text(50),
            "group            G01\n"
            "units            16\n"
            "params           12.4 k\n"
            "what couples it  residual stream, stage 1\n"
            "\n"
            "group            G02\n"
            "units            1,032\n"
            "params           48.1 k\n"
            "what couples it  layers.0.attent....self.key, head\n");
}

TEST(Table, StaysATableBelow60ColumnsWhenItFits) {
  Table table({{"a"}, {"b", true}});
  table.add({"x", "1"});
  EXPECT_EQ(table.text(40), "a  b\nx  1\n");
}

TEST(Table, WideCharactersKeepColumnsAligned) {
  Table table({{"name"}, {"n", true}});
  table.add({"重み", "1"});
  table.add({"abcd", "2"});
  EXPECT_EQ(table.text(80), "name  n\n重み  1\nabcd  2\n");
}

TEST(Table, MarkdownHasAlignmentAndEscapesBars) {
  Table table({{"name"}, {"n", true}});
  table.add({"a|b", "1"});
  EXPECT_EQ(table.markdown(), "| name | n |\n| --- | ---: |\n| a\\|b | 1 |\n");
}

TEST(Table, CsvQuotesAndGivesRawValues) {
  Table table({{"name"}, {"params", true}});
  table.add({"a,\"b\"", short_cell(12400)});
  EXPECT_EQ(table.csv(), "name,params\n\"a,\"\"b\"\"\",12400\n");
}

TEST(Table, TsvHasNoHeaderAndNoTabsInsideCells) {
  Table table({{"name"}, {"n", true}});
  table.add({"a\tb", bytes_cell(2048)});
  EXPECT_EQ(table.tsv(), "a\\tb\t2048\n");
}

TEST(Table, NamesCannotSendEscapeSequences) {
  Table table({{"name"}});
  table.add({"\033]0;owned\a"});
  EXPECT_EQ(table.text(80).find('\033'), std::string::npos);
  EXPECT_EQ(table.markdown().find('\033'), std::string::npos);
}

TEST(Table, RefusesRowsOfAnotherLength) {
  Table table({{"a"}, {"b"}});
  EXPECT_THROW(table.add({"x"}), InternalError);
}

}  // namespace
}  // namespace pollard::cli
