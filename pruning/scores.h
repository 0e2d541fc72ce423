// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::pruning {

/// One number a unit of every group: the higher, the more its removal would cost.
/// by_group[g][i] belongs to unit i of Dependencies::groups[g].
struct Scores {
  std::vector<std::vector<double>> by_group;
  /// Scores of different groups may be compared (global ranking) only when the criterion says so.
  bool comparable = true;
};

/// What a criterion may look at.
struct ScoreContext {
  const models::Model& model;
  const graph::Dependencies& dependencies;
  std::uint64_t seed = 0;
};

/// A way to judge units: one file each under criteria/, on any Program and any group.
class Criterion {
 public:
  virtual ~Criterion() = default;
  virtual std::string name()
      const = 0;  ///< canonical, with options: "magnitude:p=2,reduce=mean,normalize=mean"
  virtual Scores score(const ScoreContext& context) const = 0;
};

/// From text as users write it: "magnitude", "magnitude:p=1,normalize=lamp", "random".
/// Throws UserError E0208 for an unknown name or option, with the list of known ones.
std::unique_ptr<Criterion> make_criterion(std::string_view text);

/// Name and one line of every criterion, for help texts.
struct CriterionInfo {
  std::string_view name, summary;
};
std::vector<CriterionInfo> known_criteria();

}  // namespace pollard::pruning
