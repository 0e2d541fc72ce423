// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "graph/error.h"

namespace pollard::models::io {

/// E0396: a file of sample arrays (.npy, .npz, IDX, compressed) is not what it says. `help`: what its kind holds.
inline UserError array_error(const std::string& name, const std::string& message, const std::string& help) {
  return UserError({.code = "E0396",
                    .exit = Exit::BadFile,
                    .subject = name,
                    .message = message,
                    .where = {},
                    .why = {},
                    .help = help});
}

}  // namespace pollard::models::io
