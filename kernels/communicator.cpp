// SPDX-License-Identifier: Apache-2.0
#include "kernels/communicator.h"

#include <algorithm>
#include <cstdlib>

namespace pollard::kernels {
namespace {

class Alone final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(at::Tensor&) override {}
  void broadcast(at::Tensor&, int) override {}
  std::string broadcast(std::string text, int) override { return text; }
  void barrier() override {}
  std::unique_ptr<Pending> start_all_reduce(at::Tensor&) override { return std::make_unique<Done>(); }
  [[noreturn]] void abort(int status) override { std::_Exit(status); }

 private:
  struct Done final : Pending {
    void wait() override {}
    bool test() override { return true; }
  };
};

int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : 0;
}

}  // namespace

Communicator::Range Communicator::share(std::int64_t count) const {
  const std::int64_t parts = size(), part = rank(), each = count / parts, more = count % parts;
  const std::int64_t begin = part * each + std::min<std::int64_t>(part, more);
  return {begin, begin + each + (part < more ? 1 : 0)};
}

std::unique_ptr<Communicator> single_process() { return std::make_unique<Alone>(); }

int launched_processes() {
  // Open MPI; MPICH and Intel MPI; PMIx under Slurm.
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const int count = number_in(variable); count > 0) return count;
  return 1;
}

int local_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"})
    if (const int rank = number_in(variable); rank > 0) return rank;
  return 0;
}

Communicator& world() {
  static const std::unique_ptr<Communicator> communicator =
      launched_processes() > 1 ? make_world() : single_process();
  return *communicator;
}

}  // namespace pollard::kernels
