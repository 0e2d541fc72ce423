// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "graph/error.h"

namespace pollard {

/// What `pollard explain CODE` prints. Codes are stable: one is never reused for another meaning.
struct ErrorEntry {
  std::string_view code;
  Exit exit;
  std::string_view title;        ///< a few words, lower case
  std::string_view explanation;  ///< what was found and why it is refused; sentences
  std::string_view example;      ///< a message as it is printed
  std::string_view fix;          ///< what to do about it
};

/// nullptr for a code that does not exist.
const ErrorEntry* find_error(std::string_view code);

/// All of them, by code.
const std::vector<ErrorEntry>& all_errors();

/// The tables: add a row to the one its number belongs to.
namespace errors {
std::span<const ErrorEntry> usage();        ///< E02xx: the command line
std::span<const ErrorEntry> files();        ///< E03xx: a file was refused
std::span<const ErrorEntry> unsupported();  ///< E04xx: a model or op this version cannot handle
std::span<const ErrorEntry> environment();  ///< E05xx: disk, memory, device, signals
}  // namespace errors

}  // namespace pollard
