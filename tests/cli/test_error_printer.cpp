// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/ui/error_printer.h"

namespace pollard::cli {
namespace {

UserError::Parts damaged() {
  return {.code = "E0301",
          .exit = Exit::BadFile,
          .subject = "r56.pt",
          .message = "storage \"data/17\" holds 4 bytes, needs 18432",
          .where = "zip entry archive/data/17, byte offset 201344",
          .why = "the file is damaged or was edited; nothing was loaded",
          .help = "compare its SHA-256 with the publisher's, or download again"};
}

TEST(ErrorPrinter, SaysWhatWhereWhyAndWhatToDo) {
  EXPECT_EQ(format_error(damaged(), 80),
            "error[E0301] r56.pt: storage \"data/17\" holds 4 bytes, needs 18432\n"
            "  at    zip entry archive/data/17, byte offset 201344\n"
            "  why   the file is damaged or was edited; nothing was loaded\n"
            "  help  compare its SHA-256 with the publisher's, or download again  (exit 3)\n");
}

TEST(ErrorPrinter, LeavesOutEmptyParts) {
  EXPECT_EQ(format_error({.code = "E0201", .exit = Exit::Usage, .message = "unknown command \"purne\""}, 80),
            "error[E0201] unknown command \"purne\"  (exit 2)\n");
}

TEST(ErrorPrinter, WrapsLongPartsUnderThemselves) {
  auto parts = damaged();
  parts.where.clear();
  EXPECT_EQ(format_error(parts, 50),
            "error[E0301] r56.pt: storage \"data/17\" holds 4\n"
            "  bytes, needs 18432\n"
            "  why   the file is damaged or was edited; nothing\n"
            "        was loaded\n"
            "  help  compare its SHA-256 with the publisher's,\n"
            "        or download again  (exit 3)\n");
}

TEST(ErrorPrinter, ListsInAPartKeepTheirLines) {
  EXPECT_EQ(format_error({.code = "E0405",
                          .exit = Exit::Unsupported,
                          .message = "names match no family",
                          .where = "missing a\nmissing b"},
                         80),
            "error[E0405] names match no family\n"
            "  at    missing a\n"
            "        missing b  (exit 4)\n");
}

TEST(ErrorPrinter, TextFromFilesCannotSendEscapeSequences) {
  auto parts = damaged();
  parts.subject = "evil\033[2J.pt";
  parts.where = "entry \033]0;owned\a";
  EXPECT_EQ(format_error(parts, 80).find('\033'), std::string::npos);
}

TEST(ErrorPrinter, ColourAddsNothingButColour) {
  std::string colored = format_error(damaged(), 80, Theme::ansi());
  EXPECT_NE(colored.find("\033[1;31merror[E0301]\033[0m"), std::string::npos);
  for (std::size_t at; (at = colored.find('\033')) != std::string::npos;)
    colored.erase(at, colored.find('m', at) + 1 - at);
  EXPECT_EQ(colored, format_error(damaged(), 80));
}

TEST(ErrorPrinter, BugsAskForAReport) {
  EXPECT_EQ(format_bug("vector: index 5 of 3", "pollard plan m.pt2", 80),
            "bug vector: index 5 of 3\n"
            "  at    pollard plan m.pt2\n"
            "  why   this is a mistake in pollard, not in your file or command\n"
            "  help  please report it with this message and the output of \"pollard doctor\"\n"
            "  (exit 70)\n");
}

}  // namespace
}  // namespace pollard::cli
