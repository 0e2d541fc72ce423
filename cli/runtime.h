// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace pollard::kernels {
class Communicator;
}

namespace pollard::cli {

struct Globals;

/// Sets LibTorch's thread count. Throws UserError E0203 when --device is not a device's name.
void apply_runtime(const Globals& globals);

/// The device --device means: `auto` and `cuda` are one of the CUDA devices (each process of a job on this machine
/// takes its own), and `auto` is the CPU where there is none. Loads the CUDA
/// operators when the answer needs them. Throws UserError (Exit::Environment) for CUDA where there is none.
c10::Device choose_device(const std::string& name);

/// The processes that work on this command together: those a launcher such as mpirun started, or this one alone. Throws
/// UserError E0512 when several were started and this build works with one.
kernels::Communicator& job();

/// Whether this process writes files and tells the user what is done: the first of a job, or the only one.
bool speaks();

/// "auto", "cpu", "cuda" or "cuda:N".
bool is_device_name(const std::string& name);

/// The lines `pollard --version` prints: pollard, LibTorch, CUDA, CPU.
std::string version_text();

}  // namespace pollard::cli
