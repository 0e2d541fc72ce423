// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"
#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::cli {

/// What may be wrong with a model before anyone prunes it.
struct Health {
  struct Tensor {
    std::string name;
    std::int64_t elements = 0, nan = 0, infinite = 0,
                 zero_rows = 0;  ///< rows of dimension 0 that are all zero
  };
  std::vector<Tensor> tensors;           ///< every stored floating tensor
  std::vector<std::string> unknown_ops;  ///< "aten.x.default (3x)"
  std::vector<std::string> unused;       ///< parameters no op reads
  bool weightless = false;               ///< a network built without values: there are none to look at

  std::int64_t nonfinite() const;
  std::int64_t zero_rows() const;
  bool good() const { return unknown_ops.empty() && nonfinite() == 0; }
};
Health check_health(const models::Model& model, const graph::Dependencies& dependencies);

/// Throws UserError E0350 for the first parameter with NaN or infinite values, or buffer with NaN.
void require_finite(const models::Model& model);

/// The lines of `inspect`'s summary, one a subject.
std::vector<std::string> health_lines(const Health& health);
/// One row a tensor that has something to tell.
Table values_table(const Health& health);
Json to_json(const Health& health);

}  // namespace pollard::cli
