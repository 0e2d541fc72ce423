// SPDX-License-Identifier: Apache-2.0
// Every criterion, in one list.
#include "graph/error.h"
#include "pruning/criteria/batch_norm.h"
#include "pruning/criteria/fisher.h"
#include "pruning/criteria/flap.h"
#include "pruning/criteria/fpgm.h"
#include "pruning/criteria/lamp.h"
#include "pruning/criteria/least_squares.h"
#include "pruning/criteria/magnitude.h"
#include "pruning/criteria/measured_removal.h"
#include "pruning/criteria/obd_c.h"
#include "pruning/criteria/options.h"
#include "pruning/criteria/random.h"
#include "pruning/criteria/taylor.h"
#include "pruning/criteria/wanda.h"
#include "pruning/scores.h"

namespace pollard::pruning {
namespace {

struct Entry {
  CriterionInfo info;
  MakeCriterion make;
};

template <class T>
Entry entry(std::string name, std::string summary) {
  return {{std::move(name), std::move(summary)},
          [](CriterionOptions& options) { return std::make_unique<T>(options); }};
}

std::vector<Entry>& entries() {
  static std::vector<Entry> list{
      entry<Magnitude>("magnitude", "sum of |w|^p over everything a unit owns"),
      entry<Random>("random", "uniform scores from --seed: the baseline"),
      entry<BatchNormScale>("bn-scale", "scales of the batch norms a unit passes through"),
      entry<Lamp>("lamp", "squared magnitude over that of all larger units of the group"),
      entry<Fpgm>("fpgm", "distance to the other units of the layer"),
      entry<Taylor>("taylor", "first-order change of a loss; needs samples"),
      entry<Fisher>("fisher", "second-order change of a loss, diagonal Fisher; needs samples"),
      entry<ObdC>("obd-c", "second-order change of a loss, Kronecker factors; needs samples"),
      entry<Wanda>("wanda", "activation times weight where a unit is read; needs samples"),
      entry<Flap>("flap", "fluctuation of a unit where it is read; needs samples"),
      entry<LeastSquares>("least-squares", "exact error where a unit is read, once refitted; needs samples"),
  };
  return list;
}

}  // namespace

std::unique_ptr<Criterion> make_criterion(std::string_view text) {
  CriterionOptions options(text);
  if (options.name() == MeasuredRemoval::kName) {  // in no list: plans name it, people cannot rank by it
    auto criterion = std::make_unique<MeasuredRemoval>(options);
    options.finish();
    return criterion;
  }
  std::string names;
  for (const Entry& entry : entries()) {
    if (entry.info.name == options.name()) {
      auto criterion = entry.make(options);
      options.finish();
      return criterion;
    }
    names += (names.empty() ? "" : ", ") + entry.info.name;
  }
  options.refuse("unknown criterion \"" + options.name() + "\"", "known: " + names);
}

std::vector<CriterionInfo> known_criteria() {
  std::vector<CriterionInfo> out;
  for (const Entry& entry : entries()) out.push_back(entry.info);
  return out;
}

void register_criterion(CriterionInfo info, MakeCriterion make) {
  for (const Entry& entry : entries())
    POLLARD_CHECK(entry.info.name != info.name, "there is already a criterion named " + info.name);
  entries().push_back({std::move(info), std::move(make)});
}

void require_calibration(const Criterion& criterion, const CalibrationSet* calibration) {
  if (!criterion.needs_calibration() || calibration) return;
  throw UserError({.code = "E0210",
                   .exit = Exit::Usage,
                   .subject = "--criterion " + criterion.name(),
                   .message = "needs samples to judge units by",
                   .where = {},
                   .why = {},
                   .help = "give some with --calib FILE; magnitude needs none"});
}

Scores score(const Criterion& criterion, const ScoreContext& context) {
  require_calibration(criterion, context.calibration);
  if (context.stored && criterion.needs_weights())
    throw UserError(
        {.code = "E0461",
         .exit = Exit::Unsupported,
         .subject = "--criterion " + criterion.name(),
         .message = "reads whole weights, which stay on disk here",
         .help = "these stream: magnitude, lamp, random, wanda, flap and least-squares:metric=local"});
  return criterion.score(context);
}

}  // namespace pollard::pruning
