// SPDX-License-Identifier: Apache-2.0
// NCCL by its C interface (docs.nvidia.com/deeplearning/nccl), found at run time: there is nothing to link with.
#include "kernels/device_sums.h"

#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>
#include <cstring>

#include "graph/error.h"

namespace pollard::kernels {
namespace {

struct Id {
  std::array<char, 128> bytes;
};
constexpr int kSum = 0;

int type_of(at::ScalarType type) {
  switch (type) {
    case at::kByte: return 1;
    case at::kInt: return 2;
    case at::kLong: return 4;
    case at::kHalf: return 6;
    case at::kFloat: return 7;
    case at::kDouble: return 8;
    case at::kBFloat16: return 9;
    default: POLLARD_CHECK(false, std::string("NCCL sums no ") + c10::toString(type));
  }
}

/// Functions of libnccl; all null where it is not installed.
struct Library {
  int (*get_id)(Id*) = nullptr;
  int (*join)(void**, int, Id, int) = nullptr;
  int (*all_reduce)(const void*, void*, std::size_t, int, int, void*, cudaStream_t) = nullptr;
  int (*leave)(void*) = nullptr;
  const char* (*text)(int) = nullptr;

  Library() {
    void* const handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_GLOBAL);
    if (!handle) return;
    const auto find = [handle](auto& function, const char* name) {
      *reinterpret_cast<void**>(&function) = dlsym(handle, name);
      return function != nullptr;
    };
    const bool whole = find(get_id, "ncclGetUniqueId") && find(join, "ncclCommInitRank") &&
                       find(all_reduce, "ncclAllReduce") && find(leave, "ncclCommDestroy") &&
                       find(text, "ncclGetErrorString");
    if (!whole) *this = Library(nullptr);
  }

 private:
  explicit Library(std::nullptr_t) {}
};

const Library& library() {
  static const Library loaded;
  return loaded;
}

void require(int status) {
  if (status == 0) return;
  throw UserError({.code = "E0514",
                   .exit = Exit::Environment,
                   .subject = "NCCL",
                   .message = library().text(status),
                   .help = "give every process a GPU of its own, or use --device cpu"});
}

}  // namespace

struct DeviceSums::Impl {
  void* communicator = nullptr;
  c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(true);
  cudaEvent_t reached = nullptr;

  void after(c10::cuda::CUDAStream first, c10::cuda::CUDAStream second) const {
    cudaEventRecord(reached, first.stream());
    cudaStreamWaitEvent(second.stream(), reached, 0);
  }
};

std::string DeviceSums::fresh_id() {
  Id id{};
  if (!library().get_id || library().get_id(&id) != 0) return {};
  return {id.bytes.begin(), id.bytes.end()};
}

DeviceSums::DeviceSums(const std::string& text, int rank, int size) : impl_(std::make_unique<Impl>()) {
  Id id{};
  POLLARD_CHECK(text.size() == id.bytes.size() && library().join, "no identity of NCCL");
  std::memcpy(id.bytes.data(), text.data(), text.size());
  require(library().join(&impl_->communicator, size, id, rank));
  cudaEventCreateWithFlags(&impl_->reached, cudaEventDisableTiming);
}

DeviceSums::~DeviceSums() {
  if (impl_->communicator) library().leave(impl_->communicator);
  if (impl_->reached) cudaEventDestroy(impl_->reached);
}

void DeviceSums::start(const at::Tensor& tensor) {
  POLLARD_CHECK(tensor.is_cuda() && tensor.is_contiguous(), "NCCL takes contiguous tensors of a CUDA device");
  impl_->after(c10::cuda::getCurrentCUDAStream(), impl_->stream);
  require(library().all_reduce(tensor.const_data_ptr(), tensor.mutable_data_ptr(),
                               static_cast<std::size_t>(tensor.numel()), type_of(tensor.scalar_type()), kSum,
                               impl_->communicator, impl_->stream.stream()));
}

void DeviceSums::finish() { impl_->after(impl_->stream, c10::cuda::getCurrentCUDAStream()); }

}  // namespace pollard::kernels
