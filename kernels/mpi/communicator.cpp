// SPDX-License-Identifier: Apache-2.0
// The communicator over MPI's C interface.
#include "kernels/communicator.h"

#include <mpi.h>

#include <array>
#include <limits>

#include "graph/error.h"

namespace pollard::kernels {
namespace {

MPI_Datatype type_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return MPI_FLOAT;
    case at::kDouble: return MPI_DOUBLE;
    case at::kLong: return MPI_INT64_T;
    case at::kInt: return MPI_INT32_T;
    case at::kByte: return MPI_UINT8_T;
    default: POLLARD_CHECK(false, std::string("MPI sums no ") + c10::toString(type));
  }
}

int count_of(const at::Tensor& tensor) {
  POLLARD_CHECK(tensor.is_contiguous() && tensor.device().is_cpu(), "MPI takes contiguous CPU tensors");
  POLLARD_CHECK(tensor.numel() <= std::numeric_limits<int>::max(), "more elements than MPI counts");
  return static_cast<int>(tensor.numel());
}

class PendingSum final : public Communicator::Pending {
 public:
  explicit PendingSum(at::Tensor tensor) : tensor_(std::move(tensor)) {
    MPI_Iallreduce(MPI_IN_PLACE, tensor_.mutable_data_ptr(), count_of(tensor_),
                   type_of(tensor_.scalar_type()), MPI_SUM, MPI_COMM_WORLD, &request_);
  }
  void wait() override { MPI_Wait(&request_, MPI_STATUS_IGNORE); }
  bool test() override {
    int done = 0;
    MPI_Test(&request_, &done, MPI_STATUS_IGNORE);
    return done != 0;
  }

 private:
  at::Tensor tensor_;  // kept alive until the sum is done
  MPI_Request request_ = MPI_REQUEST_NULL;
};

class MpiWorld final : public Communicator {
 public:
  MpiWorld() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  ~MpiWorld() override { MPI_Finalize(); }
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce(at::Tensor& tensor) override {
    MPI_Allreduce(MPI_IN_PLACE, tensor.mutable_data_ptr(), count_of(tensor), type_of(tensor.scalar_type()),
                  MPI_SUM, MPI_COMM_WORLD);
  }
  void broadcast(at::Tensor& tensor, int root) override {
    const auto bytes = static_cast<std::size_t>(count_of(tensor)) * tensor.element_size();
    POLLARD_CHECK(bytes <= std::numeric_limits<int>::max(), "more bytes than MPI counts");
    MPI_Bcast(tensor.mutable_data_ptr(), static_cast<int>(bytes), MPI_BYTE, root, MPI_COMM_WORLD);
  }
  std::string broadcast(std::string text, int root) override {
    auto length = static_cast<std::int64_t>(text.size());
    MPI_Bcast(&length, 1, MPI_INT64_T, root, MPI_COMM_WORLD);
    text.resize(static_cast<std::size_t>(length));
    MPI_Bcast(text.data(), static_cast<int>(length), MPI_BYTE, root, MPI_COMM_WORLD);
    return text;
  }
  void barrier() override { MPI_Barrier(MPI_COMM_WORLD); }
  std::unique_ptr<Pending> start_all_reduce(at::Tensor& tensor) override {
    return std::make_unique<PendingSum>(tensor);
  }
  [[noreturn]] void abort(int status) override {
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }

 private:
  int rank_ = 0, size_ = 1;
};

}  // namespace

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string all(text.data(), static_cast<std::size_t>(length));
  return all.substr(0, all.find(','));
}

std::unique_ptr<Communicator> make_world() { return std::make_unique<MpiWorld>(); }

}  // namespace pollard::kernels
