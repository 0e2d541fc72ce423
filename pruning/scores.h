// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::pruning {

struct CalibrationSet;
class CriterionOptions;

/// One number a unit of every group: the higher, the more its removal would cost.
/// by_group[g][i] belongs to unit i of Dependencies::groups[g].
struct Scores {
  std::vector<std::vector<double>> by_group;
  /// Scores of different groups may be compared (global ranking) only when the criterion says so.
  bool comparable = true;
  /// The scores are predicted errors on one scale: those of the k lowest units of a group add up to the error of
  /// removing all k. Such sums are the error curves that an allocator can minimise.
  bool additive = false;
  /// By group, why the criterion cannot judge it ("" where it can); empty when it can judge all. Groups that cannot be
  /// judged are kept whole with this reason.
  std::vector<std::string> unjudged;
  /// May be set: a better choice of as many units, once it is known how many leave a group (swaps). Gets and returns
  /// sorted unit indices.
  std::function<std::vector<std::int64_t>(std::size_t group, std::vector<std::int64_t> removed)> refine;

  /// What judging took, for people: "384 samples in 1 pass, 12 MiB of statistics".
  std::vector<std::string> notes;

  std::string why_unjudged(std::size_t group) const { return unjudged.empty() ? "" : unjudged[group]; }
};

/// Weights that are not in memory (stream/slab_sums.h).
class StoredWeights {
 public:
  virtual ~StoredWeights() = default;
  /// As kernels::slab_power_sums of the weight of that name.
  virtual std::vector<std::vector<double>> power_sums(const std::string& name,
                                                      std::span<const std::int64_t> dims, double p) = 0;
  /// The whole weight, in memory of its own; f16, bf16 and f8 as f32.
  virtual at::Tensor load(const graph::Input& input) = 0;
  virtual std::uint64_t memory_bytes() const = 0;                 ///< that may be held
  virtual const std::filesystem::path& spill_folder() const = 0;  ///< for activations beyond that
};

/// What a criterion may look at.
struct ScoreContext {
  const models::Model& model;
  const graph::Dependencies& dependencies;
  std::uint64_t seed = 0;
  const CalibrationSet* calibration = nullptr;  ///< nullptr when none was given
  StoredWeights* stored = nullptr;  ///< set when the model's weights are meta tensors: where they come from
  std::vector<bool>
      wanted;  ///< by group, whether anyone will look at its scores; empty: all. Others may be left at 0.

  bool wants(std::size_t group) const { return wanted.empty() || wanted[group]; }
};

/// A way to judge units: one file each under criteria/, on any Program and any group.
class Criterion {
 public:
  virtual ~Criterion() = default;
  virtual std::string name()
      const = 0;  ///< canonical, with options: "magnitude:p=2,reduce=mean,normalize=mean"
  virtual Scores score(const ScoreContext& context) const = 0;
  /// Whether score() needs ScoreContext::calibration.
  virtual bool needs_calibration() const { return false; }
  /// Whether score() reads weights in another way than by their power sums and by what runs over samples show of
  /// them: then they must be in memory.
  virtual bool needs_weights() const { return true; }
};

/// From text as users write it: "magnitude", "magnitude:p=1,normalize=lamp", "random".
/// Throws UserError E0208 for an unknown name or option, with the list of known ones.
std::unique_ptr<Criterion> make_criterion(std::string_view text);

/// Throws UserError E0210 when the criterion needs samples and `calibration` is nullptr.
void require_calibration(const Criterion& criterion, const CalibrationSet* calibration);
/// Scores all units, after require_calibration().
Scores score(const Criterion& criterion, const ScoreContext& context);

/// Name and one line of every criterion, for help texts.
struct CriterionInfo {
  std::string name, summary;
};
std::vector<CriterionInfo> known_criteria();

/// Adds a criterion of one's own under a new name (examples/custom_criterion.cpp). `make` gets the options written
/// after the colon and takes what it knows; what it leaves is refused. Not safe beside other threads.
using MakeCriterion = std::function<std::unique_ptr<Criterion>(CriterionOptions& options)>;
void register_criterion(CriterionInfo info, MakeCriterion make);

}  // namespace pollard::pruning
