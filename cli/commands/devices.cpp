// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/system_info.h"
#include "kernels/device_info.h"

namespace pollard::cli {
namespace {

std::string capability(const kernels::CudaDevice& device) {
  return fmt::format("{}.{}", device.major, device.minor);
}

Json to_json(const SystemInfo& system, const kernels::CudaInfo& cuda) {
  Json devices = Json::array();
  devices.push_back({{"device", "cpu"},
                     {"name", system.cpu},
                     {"capability", system.cpu_capability},
                     {"units", system.torch_threads},
                     {"memory_bytes", system.memory_bytes},
                     {"free_bytes", system.memory_available_bytes}});
  for (const kernels::CudaDevice& device : cuda.devices)
    devices.push_back({{"device", fmt::format("cuda:{}", device.index)},
                       {"name", device.name},
                       {"capability", capability(device)},
                       {"units", device.multiprocessors},
                       {"memory_bytes", device.total_bytes},
                       {"free_bytes", device.free_bytes}});
  return {{"devices", devices}, {"cuda_problem", cuda.problem}};
}

Table to_table(const SystemInfo& system, const kernels::CudaInfo& cuda) {
  Table table({{"device"},
               {"name", false, Column::Cut::Middle},
               {"capability"},
               {"units", true},
               {"memory", true},
               {"free", true}});
  table.add({"cpu", system.cpu, system.cpu_capability, count_cell(system.torch_threads),
             bytes_cell(static_cast<double>(system.memory_bytes)),
             bytes_cell(static_cast<double>(system.memory_available_bytes))});
  for (const kernels::CudaDevice& device : cuda.devices)
    table.add({fmt::format("cuda:{}", device.index), device.name, capability(device),
               count_cell(device.multiprocessors), bytes_cell(static_cast<double>(device.total_bytes)),
               bytes_cell(static_cast<double>(device.free_bytes))});
  return table;
}

Exit run_devices(Context& context) {
  const SystemInfo system = system_info();
  const kernels::CudaInfo cuda = kernels::cuda_info();
  if (context.json()) context.print_json(to_json(system, cuda));
  context.print(to_table(system, cuda));
  if (cuda.devices.empty()) context.note("no CUDA device: " + cuda.problem);
  return Exit::Ok;
}

}  // namespace

void add_devices(CommandLine& line) {
  line.add({.name = "devices",
            .section = "Setup",
            .purpose = "what --device may name on this machine",
            .examples = {"pollard devices", "pollard devices --json", "pollard devices -q"}},
           run_devices);
}

}  // namespace pollard::cli
