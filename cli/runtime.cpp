// SPDX-License-Identifier: Apache-2.0
#include "cli/runtime.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <regex>

#include "cli/context.h"
#include "cli/system_info.h"
#include "cli/version.h"
#include "graph/error.h"
#include "kernels/communicator.h"
#include "kernels/device_info.h"

namespace pollard::cli {
namespace {

void check_index(int index, const kernels::CudaInfo& info) {
  if (index < static_cast<int>(info.devices.size())) return;
  throw UserError({.code = "E0511",
                   .exit = Exit::Environment,
                   .subject = fmt::format("--device cuda:{}", index),
                   .message = fmt::format("there are {} CUDA devices, numbered from 0", info.devices.size()),
                   .where = {},
                   .why = {},
                   .help = "pollard devices lists them"});
}

}  // namespace

bool is_device_name(const std::string& name) {
  static const std::regex form("auto|cpu|cuda(:[0-9]{1,3})?");
  return std::regex_match(name, form);
}

void apply_runtime(const Globals& globals) {
  if (!is_device_name(globals.device))
    throw UserError({.code = "E0203",
                     .exit = Exit::Usage,
                     .subject = "--device",
                     .message = fmt::format("\"{}\" is not auto, cpu, cuda or cuda:N", globals.device),
                     .where = {},
                     .why = {},
                     .help = "pollard devices lists what this machine has"});
  if (globals.threads > 0) at::set_num_threads(globals.threads);
}

kernels::Communicator& job() {
  kernels::Communicator& all = kernels::world();
  const int launched = kernels::launched_processes();
  if (launched > 1 && all.size() == 1)
    throw UserError({.code = "E0512",
                     .exit = Exit::Environment,
                     .subject = "mpirun",
                     .message = fmt::format("started {} processes, and this build works with one", launched),
                     .help = "install libopenmpi-dev and build again, or start one process"});
  return all;
}

bool speaks() { return kernels::world().first(); }

c10::Device choose_device(const std::string& name) {
  if (name == "cpu") return c10::kCPU;
  const kernels::CudaInfo info = kernels::cuda_info();
  if (name == "auto" && info.devices.empty()) return c10::kCPU;
  kernels::load_cuda_operators();
  const std::size_t colon = name.find(':');
  const int index = colon == std::string::npos ? kernels::local_rank() % static_cast<int>(info.devices.size())
                                               : std::stoi(name.substr(colon + 1));
  check_index(index, info);
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

std::string version_text() {
  const SystemInfo system = system_info();
  const kernels::CudaInfo cuda = kernels::cuda_info();
  return fmt::format("{}\nLibTorch {}\nCUDA {}\nCPU {} ({})\n", tool_name(), system.libtorch,
                     cuda_summary(cuda), system.cpu, system.cpu_capability);
}

}  // namespace pollard::cli
