// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "graph/error.h"

namespace pollard::bad_files {

/// Everything an error says, in one string.
inline std::string everything(const UserError& error) {
  const UserError::Parts& parts = error.parts();
  return std::string(error.what()) + "\n  at " + parts.where + "\n  why " + parts.why + "\n  help " +
         parts.help;
}

/// Expects `action` to throw a UserError of this code and exit status that says all of `says`.
template <class Action>
void expect_error(const std::string& code, Exit exit, const std::vector<std::string>& says, Action action) {
  try {
    action();
    ADD_FAILURE() << code << " was expected, but nothing was thrown";
  } catch (const UserError& error) {
    const std::string text = everything(error);
    EXPECT_EQ(error.parts().code, code) << text;
    EXPECT_EQ(static_cast<int>(error.exit()), static_cast<int>(exit)) << text;
    for (const std::string& part : says)
      EXPECT_NE(text.find(part), std::string::npos) << part << "\nnot in\n" << text;
    for (const char c : text)
      EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << "control character";
  }
}

}  // namespace pollard::bad_files
