// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "graph/error_catalog.h"

namespace pollard::errors {
namespace {

constexpr auto kEntries = std::to_array<ErrorEntry>({
    {"E0501", Exit::Environment, "disk full",
     "There is no space left, a quota is used up, or a limit on file sizes was reached. Space is "
     "asked for before writing, so this is mostly met early. The temporary file was removed and an "
     "old file of that name is as it was.",
     "error[E0501] out.pt2: reserving space failed: No space left on device",
     "Free some space, or write to another disk."},
    {"E0502", Exit::Environment, "read or write error",
     "The operating system reported an error of the disk or the mount.",
     "error[E0502] out.pt2: writing failed: Input/output error", "Check the disk (dmesg), or use another."},
    {"E0503", Exit::Environment, "not allowed to write",
     "The output, its folder or its disk is read-only or belongs to someone else.",
     "error[E0503] out.pt2: is read-only", "Change the permissions, or choose another place."},
    {"E0504", Exit::Environment, "out of memory",
     "There is not enough memory for a tensor of the size the message names, or for what the work is known "
     "to take: a "
     "file and its weights, the copies and the proof of a pruned network.",
     "error[E0504] model.pt2: needs 3.1 GiB of memory, 2.0 GiB are free",
     "Close other programs, or use a machine with more memory."},
    {"E0505", Exit::Environment, "log file cannot be written",
     "The file named by --log-file could not be created or opened for writing.",
     "error[E0505] /var/log/pollard.log: the log file cannot be written",
     "Give --log-file a path in a folder you may write to."},
    {"E0509", Exit::Interrupted, "interrupted",
     "Ctrl-C or a request to end arrived. Work stopped at the next safe point; no output was written "
     "and temporary files are removed.",
     "error[E0509] interrupted; nothing was written", "Run the command again."},
    {"E0510", Exit::Environment, "no CUDA",
     "The program was built without CUDA, or its CUDA libraries cannot be loaded.",
     "error[E0510] cuda: this build has no CUDA kernels", "Use --device cpu, or build with the cuda preset."},
    {"E0511", Exit::Environment, "no such device", "The device asked for does not exist on this machine.",
     "error[E0511] --device cuda:3: there are 1 CUDA devices, numbered from 0",
     "See the devices: pollard devices."},
    {"E0512", Exit::Environment, "several processes, one build for one",
     "A launcher such as mpirun started several processes, but the program was built without MPI: each would "
     "do the "
     "whole work and they would write over each other.",
     "error[E0512] mpirun: started 4 processes, and this build works with one",
     "Install libopenmpi-dev and build again, or start the program alone."},
    {"E0514", Exit::Environment, "GPUs of several processes cannot be joined",
     "Processes that train together on CUDA devices sum their gradients by NCCL, which could not connect "
     "them.",
     "error[E0514] NCCL: invalid usage",
     "Give every process a GPU of its own, or train on the CPU: --device cpu."},
    {"E0515", Exit::Interrupted, "training interrupted",
     "Ctrl-C or a request to end arrived. The step under way was finished and everything that the run needs "
     "to go on "
     "was saved, as the message says; the output was not written.",
     "error[E0515] interrupted at epoch 3, step 120; checkpoint saved: out.pt2.checkpoint",
     "Give the same command with --resume: it goes on as if it had never stopped."},
});

}  // namespace

std::span<const ErrorEntry> environment() { return kEntries; }

}  // namespace pollard::errors
