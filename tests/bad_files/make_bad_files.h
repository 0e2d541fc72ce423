// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/error.h"

/// Every model file that must be refused, made by code: the rows are those of the table in docs/security.md.
/// Deterministic, so that a failure found on one machine is the same file on another.
namespace pollard::bad_files {

struct BadFile {
  int row = 0;
  std::string name;  ///< a file name that says what is wrong
  std::string bytes;
  std::string code;  ///< the error it must lead to
  Exit exit = Exit::BadFile;
  std::vector<std::string> says;  ///< parts the message, place, reason or help must have
};

/// Files that must be read.
struct GoodFile {
  std::string name;
  std::string bytes;
  std::vector<std::string> tensors;  ///< names they hold
};

std::vector<BadFile> bad_beginnings();   ///< row 2
std::vector<BadFile> bad_safetensors();  ///< rows 3, 4, 6 to 9, 11
std::vector<BadFile> bad_zips();         ///< rows 12 to 16
std::vector<BadFile> bad_pickles();      ///< rows 17 to 19
std::vector<BadFile> bad_torch_files();  ///< rows 20 to 23
/// Row 5 and the larger of row 18: up to 100 MB each.
std::vector<BadFile> large_bad_files();

std::vector<BadFile> all_bad_files();  ///< without the large ones
std::vector<GoodFile> good_files();

}  // namespace pollard::bad_files
