// SPDX-License-Identifier: Apache-2.0
#include "cli/stream_run.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <mutex>

#include "cli/parse_errors.h"
#include "cli/plan_report.h"
#include "cli/prune_outcome.h"
#include "cli/runtime.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "kernels/communicator.h"
#include "models/io/atomic_file.h"
#include "models/io/stored_program.h"
#include "models/stored_checkpoint.h"
#include "pruning/rewrite.h"
#include "pruning/stream/rewrite.h"

namespace pollard::cli {
namespace {

constexpr std::size_t kSlicesCompared = 64;

/// A bar that threads may advance.
class Meter {
 public:
  Meter(Context& context, const char* label, std::uint64_t bytes, bool shown) {
    if (shown)
      progress_.reset(new Progress(context.progress(label, static_cast<std::int64_t>(bytes >> 20), "MiB")));
  }
  void add(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    if (progress_) progress_->update(static_cast<std::int64_t>(done_ >> 20));
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<Progress> progress_;
  std::uint64_t done_ = 0;
};

/// The job, when a launcher started several processes.
kernels::Communicator* several() { return job().size() > 1 ? &job() : nullptr; }

void check_arguments(const StreamArguments& a) {
  if (!a.plan.calibration.empty() && several())
    throw usage_error("E0206", "--calib", "does not go with --stream under mpirun",
                      "samples pass through one part of the network after the other: run one process");
  if (!a.plan.file_size.empty())
    throw usage_error("E0206", "--stream", "does not go with --file-size", "give --params");
  if (!a.plan.latency.empty() || a.plan.round_to == "auto")
    throw usage_error("E0206", "--stream", "does not go with --latency and --round-to auto",
                      "op times are measured on weights in memory; give --macs");
}

models::LoadOptions load_options(const ModelInput& input) {
  models::LoadOptions options{.family = input.family, .spec_json = {}, .key = input.key};
  if (!input.spec_file.empty()) options.spec_json = read_text_file(input.spec_file);
  return options;
}

pruning::Plan choose(const StreamArguments& a, const AnalysedModel& m, pruning::StreamedSums& sums,
                     std::uint64_t seed) {
  if (!a.plan_file.empty())
    return pruning::plan_from_json(read_text_file(a.plan_file), m.model, m.dependencies);
  const auto samples = read_samples(a.plan, m.model);
  return pruning::make_plan(m.model, m.dependencies, plan_options(a.plan, "prune", seed),
                            samples ? &*samples : nullptr, &sums);
}

/// What the first file of the result says beside its tensors.
models::io::TextMap metadata_of(const AnalysedModel& m, const Outcome& outcome) {
  models::io::TextMap metadata = m.model.metadata;
  metadata["format"] = "pt";
  metadata["pollard.plan"] = outcome.plan_json;
  metadata["pollard.provenance"] = provenance(m, outcome);
  metadata[models::io::kStoredProgram] =
      models::io::stored_program(pruning::rewrite(m.model.program, m.dependencies, outcome.plan.removal));
  if (!m.model.family.empty()) metadata["pollard.family"] = m.model.family;
  if (!m.model.spec_json.empty()) metadata["pollard.spec"] = m.model.spec_json;
  return metadata;
}

struct Written {
  pruning::StreamReport report;
  std::uint64_t bytes = 0;  ///< of all files of the result
};

void report_written(const StreamArguments& a, const models::StoredCheckpoint& checkpoint,
                    const Written& written, const std::string& hash, Context& context) {
  const pruning::StreamReport& report = written.report;
  context.report(
      fmt::format("verify    {} random slices equal the original's bytes", report.slices_compared));
  if (report.resumed > 0)
    context.report(fmt::format("resumed   {} of {} files were whole already", report.resumed, report.files));
  if (!a.plan.calibration.empty())
    context.report("repair    not done: it runs the whole network, which stays on disk");
  context.report(fmt::format("wrote     {}  {} -> {}  (plan {} inside)", a.out,
                             format_bytes(static_cast<double>(checkpoint.bytes())),
                             format_bytes(static_cast<double>(written.bytes)), hash.substr(0, 12)));
  context.next(fmt::format("pollard inspect {}", a.out));
}

Json to_json(const StreamArguments& a, const Outcome& outcome, const models::StoredCheckpoint& checkpoint,
             const Written& written) {
  const pruning::StreamReport& report = written.report;
  Json json = cli::to_json(outcome, a.in, a.dry_run ? "" : a.out);
  json["input_bytes"] = checkpoint.bytes();
  if (a.dry_run) return json;
  json["output_bytes"] = written.bytes;
  json["output_sha256"] = report.sha256;
  json["files"] = report.files;
  json["resumed"] = report.resumed;
  json["slices_compared"] = report.slices_compared;
  return json;
}

/// Writes the smaller files, opens them again and compares slices.
Written write(const StreamArguments& a, const models::StoredCheckpoint& checkpoint, const AnalysedModel& m,
              const Outcome& outcome, pruning::StreamOptions options, Context& context) {
  const double share = static_cast<double>(outcome.plan.after.parameters) /
                       static_cast<double>(outcome.plan.before.parameters);
  Written out;
  {
    Meter meter(context, "write", static_cast<std::uint64_t>(share * static_cast<double>(checkpoint.bytes())),
                speaks());
    options.progress = [&](std::uint64_t bytes) { meter.add(bytes); };
    out.report = pruning::rewrite_stored(checkpoint, m.dependencies, outcome.plan.removal,
                                         {.out = a.out,
                                          .plan_hash = pruning::plan_hash(outcome.plan_json),
                                          .metadata = metadata_of(m, outcome),
                                          .force = a.force},
                                         options);
  }
  job().barrier();  // the index is there
  const models::StoredCheckpoint result = models::open_stored(a.out);
  out.bytes = result.bytes();
  out.report.slices_compared = pruning::compare_slices(
      checkpoint, result, m.dependencies, outcome.plan.removal, kSlicesCompared, context.globals().seed);
  return out;
}

}  // namespace

Exit run_stream(const StreamArguments& a, Context& context) {
  check_arguments(a);
  pruning::StreamOptions options{
      .memory_bytes = static_cast<std::uint64_t>(parse_count(a.memory, "--memory")),
      .spill_folder = std::filesystem::absolute(a.out).lexically_normal().parent_path(),
      .job = several()};
  const models::StoredCheckpoint checkpoint = models::open_stored(a.in, load_options(a.input));
  if (!a.dry_run && !checkpoint.sharded()) models::check_save_path(a.out, {a.in}, a.force);
  AnalysedModel m{
      .path = a.in, .model = checkpoint.model, .dependencies = graph::analyse(checkpoint.model.program)};
  // Samples need the weights once, hashing the files once more.
  const std::uint64_t total =
      checkpoint.bytes() * (a.plan.calibration.empty() || !a.plan_file.empty() ? 1 : 2);
  std::unique_ptr<Meter> meter = std::make_unique<Meter>(context, "score", total, speaks());
  options.progress = [&](std::uint64_t bytes) { meter->add(bytes); };
  pruning::StreamedSums sums(checkpoint, m.dependencies, options);
  // A plan from a file must be this checkpoint's: its hash is known once the files have been read.
  const auto hashed = [&] { m.model.sha256 = checkpoint.sha256(sums.digests()); };
  if (!a.plan_file.empty()) hashed();
  Outcome outcome{
      .plan = choose(a, m, sums, context.globals().seed), .plan_json = {}, .pruned = {}, .verification = {}};
  hashed();
  meter.reset();
  outcome.plan_json = pruning::to_json(outcome.plan, m.model, m.dependencies);
  if (speaks()) {
    report_plan(outcome.plan, m.dependencies, context);
    context.print(change_table(outcome.plan));
  }
  Written written;
  if (!a.dry_run && speaks())
    models::io::check_disk_space(a.out, static_cast<std::uint64_t>(outcome.plan.after.parameter_bytes),
                                 checkpoint.files.size());
  if (!a.dry_run) written = write(a, checkpoint, m, outcome, options, context);
  if (!speaks()) return Exit::Ok;
  if (context.json()) context.print_json(to_json(a, outcome, checkpoint, written));
  if (a.dry_run)
    context.report("dry run: nothing written");
  else
    report_written(a, checkpoint, written, pruning::plan_hash(outcome.plan_json), context);
  return Exit::Ok;
}

}  // namespace pollard::cli
