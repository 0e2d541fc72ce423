// SPDX-License-Identifier: Apache-2.0
// The communicator over MPI's C interface.
#include "kernels/communicator.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <limits>

#include "graph/error.h"
#include "kernels/device_sums.h"

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
  explicit PendingSum(at::Tensor tensor) : tensor_(std::move(tensor)), host_(tensor_.cpu()) {
    MPI_Iallreduce(MPI_IN_PLACE, host_.mutable_data_ptr(), count_of(host_), type_of(host_.scalar_type()),
                   MPI_SUM, MPI_COMM_WORLD, &request_);
  }
  void wait() override {
    MPI_Wait(&request_, MPI_STATUS_IGNORE);
    if (!tensor_.is_cpu()) tensor_.copy_(host_);
  }
  bool test() override {
    int done = 0;
    MPI_Test(&request_, &done, MPI_STATUS_IGNORE);
    return done != 0;
  }

 private:
  at::Tensor tensor_, host_;  // one and the same on the CPU; kept alive until the sum is done
  MPI_Request request_ = MPI_REQUEST_NULL;
};

/// A sum under way on the GPUs.
class DeviceSum final : public Communicator::Pending {
 public:
  DeviceSum(DeviceSums& sums, at::Tensor tensor) : sums_(sums), tensor_(std::move(tensor)) {
    sums_.start(tensor_);
  }
  void wait() override { sums_.finish(); }
  bool test() override { return false; }  // it gets on by itself

 private:
  DeviceSums& sums_;
  at::Tensor tensor_;
};

class MpiWorld final : public Communicator {
 public:
  MpiWorld() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  ~MpiWorld() override {
    sums_.reset();
    MPI_Finalize();
  }
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce(at::Tensor& tensor) override {
    if (DeviceSums* sums = device_sums(tensor)) {
      sums->start(tensor);
      return sums->finish();
    }
    const at::Tensor host = tensor.cpu();  // itself on the CPU
    MPI_Allreduce(MPI_IN_PLACE, host.mutable_data_ptr(), count_of(host), type_of(host.scalar_type()), MPI_SUM,
                  MPI_COMM_WORLD);
    if (!tensor.is_cpu()) tensor.copy_(host);
  }
  void broadcast(at::Tensor& tensor, int root) override {
    const at::Tensor host = tensor.cpu();
    const auto bytes = static_cast<std::size_t>(count_of(host)) * host.element_size();
    POLLARD_CHECK(bytes <= std::numeric_limits<int>::max(), "more bytes than MPI counts");
    MPI_Bcast(host.mutable_data_ptr(), static_cast<int>(bytes), MPI_BYTE, root, MPI_COMM_WORLD);
    if (!tensor.is_cpu()) tensor.copy_(host);
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
    if (DeviceSums* sums = device_sums(tensor)) return std::make_unique<DeviceSum>(*sums, tensor);
    return std::make_unique<PendingSum>(tensor);
  }
  [[noreturn]] void abort(int status) override {
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }

 private:
  /// NCCL for tensors of CUDA devices, joined at the first of them; nullptr where tensors pass through the CPU: there is no
  /// NCCL, or two processes of one machine share a device.
  DeviceSums* device_sums(const at::Tensor& tensor) {
    if (!tensor.is_cuda()) return nullptr;
    if (!asked_) {
      asked_ = true;
      std::string id = broadcast(rank_ == 0 ? DeviceSums::fresh_id() : std::string(), 0);
      if (!id.empty() && own_device(tensor.device().index()))
        sums_ = std::make_unique<DeviceSums>(id, rank_, size_);
    }
    return sums_.get();
  }

  /// Whether no two processes on one machine work on one device.
  bool own_device(int device) const {
    MPI_Comm machine = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine);
    int neighbours = 1;
    MPI_Comm_size(machine, &neighbours);
    std::vector<int> devices(static_cast<std::size_t>(neighbours));
    MPI_Allgather(&device, 1, MPI_INT, devices.data(), 1, MPI_INT, machine);
    MPI_Comm_free(&machine);
    std::ranges::sort(devices);
    int distinct = std::ranges::adjacent_find(devices) == devices.end() ? 1 : 0;
    MPI_Allreduce(MPI_IN_PLACE, &distinct, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    return distinct == 1;
  }

  int rank_ = 0, size_ = 1;
  bool asked_ = false;
  std::unique_ptr<DeviceSums> sums_;
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
