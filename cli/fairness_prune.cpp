// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_prune.h"

#include "cli/fairness_meters.h"
#include "cli/plan_report.h"
#include "pruning/rewrite.h"

namespace pollard::cli {

Outcome carry_out(const FairnessArguments& a, const AnalysedModel& m, pruning::Plan plan, Context& context) {
  check_memory(m, plan.removal, true);
  Outcome out{.plan = std::move(plan), .plan_json = {}, .pruned = {}, .verification = {}};
  out.plan_json = pruning::to_json(out.plan, m.model, m.dependencies);
  out.pruned = pruning::prune(m.model, m.dependencies, out.plan.removal);
  out.verification = pruning::verify(m.model, out.pruned, m.dependencies, out.plan.removal,
                                     {.seed = context.globals().seed});
  context.report(verdict_text(*out.verification, context.theme()));
  if (!out.verification->ok) {
    context.note("FAILED    nothing written: please report this network, it is a mistake in pollard");
    return out;
  }
  if (!a.calibration.empty() || a.repair) {
    out.repair =
        pruning::repair(out.pruned, m.model, m.dependencies, out.plan.removal,
                        a.calibration.empty() ? refit_samples(a, m.model.program)
                                              : pruning::read_calibration(a.calibration, m.model.program));
    context.report(repair_text(*out.repair));
  }
  if (a.dry_run) {
    context.report("dry run: nothing written");
    return out;
  }
  out.pruned.metadata["pollard.plan"] = out.plan_json;
  out.pruned.metadata["pollard.provenance"] = provenance(m, out);
  models::save(out.pruned, a.out, {.force = a.force});
  context.report(written_text(a.model, a.out));
  return out;
}

}  // namespace pollard::cli
