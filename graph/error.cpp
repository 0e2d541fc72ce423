// SPDX-License-Identifier: Apache-2.0
#include "graph/error.h"

namespace pollard {
namespace {

std::string one_line(const UserError::Parts& parts) {
  return parts.subject.empty() ? parts.message : parts.subject + ": " + parts.message;
}

}  // namespace

UserError::UserError(Parts parts) : std::runtime_error(one_line(parts)), parts_(std::move(parts)) {}

void check_failed(const char* file, int line, const char* condition, const std::string& detail) {
  throw InternalError(std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition +
                      (detail.empty() ? "" : " (" + detail + ")"));
}

}  // namespace pollard
