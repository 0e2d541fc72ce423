// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pollard::kernels {

/// The processes that work on one job together: `mpirun -n 4 pollard ...` starts four, each with a rank from 0. Work that
/// is a sum over samples (gradients, statistics, scores) is split by share() and put together by all_reduce().
///
/// Every process must make the same calls in the same order. Tensors are contiguous, of an integer or floating type (bf16
/// and half are refused); those of different processes have equal shapes. All ranks get the same bits. What lies on CUDA
/// devices is summed by NCCL (device_sums.h) where each process has a device of its own, and otherwise passes through the CPU.
/// When a process ends without finish(), the launcher ends the others.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Sums in place over all processes.
  virtual void all_reduce(at::Tensor& tensor) = 0;
  /// Copies rank `root`'s contents to all.
  virtual void broadcast(at::Tensor& tensor, int root) = 0;
  /// The text of rank `root`, everywhere.
  virtual std::string broadcast(std::string text, int root) = 0;
  virtual void barrier() = 0;

  /// A sum under way: the tensor may not be touched until wait() returns.
  class Pending {
   public:
    virtual ~Pending() = default;
    virtual void wait() = 0;
    virtual bool test() = 0;  ///< whether it is done; also lets it get on
  };
  virtual std::unique_ptr<Pending> start_all_reduce(at::Tensor& tensor) = 0;

  /// Ends every process of the job with this exit status.
  [[noreturn]] virtual void abort(int status) = 0;

  bool first() const { return rank() == 0; }

  /// The part of `count` items that is this process's: [begin, end), in rank order, sizes differing by one at most.
  struct Range {
    std::int64_t begin, end;
  };
  Range share(std::int64_t count) const;
};

/// This process's job. One process alone unless a launcher (mpirun, srun) started it and the build has MPI; then MPI is
/// initialised at the first call and finalised at a normal exit.
Communicator& world();

/// How many processes the launcher says it started, 1 without one; reads the environment only. Differs from
/// world().size() in a build without MPI, where every process would do the whole work.
int launched_processes();

/// This process's number among those of the job on this machine, 0 without a launcher: which of its GPUs it takes.
int local_rank();

/// Whether this build can work with several processes: "Open MPI 4.1.4", or "" without MPI.
std::string mpi_version();

/// A job of one process: what world() is without a launcher.
std::unique_ptr<Communicator> single_process();

/// The communicator of a job that a launcher started; single_process() in a build without MPI. Called by world() once.
std::unique_ptr<Communicator> make_world();

}  // namespace pollard::kernels
