// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/system_info.h"
#include "cli/ui/format.h"
#include "cli/ui/text.h"
#include "cli/version.h"
#include "kernels/device_info.h"

namespace pollard::cli {
namespace {

constexpr double scarce_memory = 1024.0 * 1024 * 1024;
constexpr double scarce_disk = 1024.0 * 1024 * 1024;

struct Check {
  std::string name, value;
  std::string verdict;  ///< "ok", "low" (works, may run out), "none" (works without), "bad"
};

Check libtorch_check(const SystemInfo& system) {
  const std::string problem = check_libtorch();
  return {"libtorch", problem.empty() ? system.libtorch + ", computes" : system.libtorch + ": " + problem,
          problem.empty() ? "ok" : "bad"};
}

Check size_check(const std::string& name, std::int64_t available, double scarce, const std::string& text) {
  return {name, text, static_cast<double>(available) < scarce ? "low" : "ok"};
}

std::vector<Check> checks(const SystemInfo& system, const kernels::CudaInfo& cuda) {
  const auto available = static_cast<double>(system.memory_available_bytes);
  const auto free = static_cast<double>(system.disk_free_bytes);
  return {{"pollard", version() + ", compiler " + system.compiler, "ok"},
          libtorch_check(system),
          {"cpu", system.cpu, "ok"},
          {"cpu kernels", fmt::format("{} of {}", system.cpu_capability, join(system.cpu_flags, " ")), "ok"},
          {"threads", fmt::format("{} of {}", system.torch_threads, system.hardware_threads), "ok"},
          size_check("memory", system.memory_available_bytes, scarce_memory,
                     fmt::format("{} of {} available", format_bytes(available),
                                 format_bytes(static_cast<double>(system.memory_bytes)))),
          size_check("disk", system.disk_free_bytes, scarce_disk, format_bytes(free) + " free here"),
          {"cuda", cuda_summary(cuda), cuda.devices.empty() ? "none" : "ok"}};
}

Json to_json(const std::vector<Check>& list, bool healthy) {
  Json rows = Json::array();
  for (const Check& check : list)
    rows.push_back({{"name", check.name}, {"value", check.value}, {"verdict", check.verdict}});
  return {{"healthy", healthy}, {"checks", rows}};
}

Exit run_doctor(Context& context) {
  const std::vector<Check> list = checks(system_info(), kernels::cuda_info());
  bool healthy = true;
  Table table({{"part"}, {"verdict"}, {"found", false, Column::Cut::End}});
  for (const Check& check : list) {
    table.add({check.name, check.verdict, check.value});
    healthy = healthy && check.verdict != "bad";
  }
  if (context.json()) context.print_json(to_json(list, healthy));
  context.print(table);
  context.note(healthy
                   ? context.err_theme().paint(context.err_theme().verdict, "OK") + "  pollard can work here"
                   : context.err_theme().paint(context.err_theme().error, "FAILED") +
                         "  see the parts marked bad");
  return healthy ? Exit::Ok : Exit::Environment;
}

}  // namespace

void add_doctor(CommandLine& line) {
  line.add({.name = "doctor",
            .section = "Setup",
            .purpose = "whether everything pollard needs is there",
            .examples = {"pollard doctor", "pollard doctor --json", "pollard doctor --threads 1"}},
           run_doctor);
}

}  // namespace pollard::cli
