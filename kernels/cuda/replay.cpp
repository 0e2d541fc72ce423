// SPDX-License-Identifier: Apache-2.0
#include "kernels/replay.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/headeronly/version.h>

#include <atomic>

#include "graph/error.h"

namespace pollard::kernels {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;
using PoolId = std::pair<c10::CaptureId_t, c10::CaptureId_t>;

UserError not_recorded(const std::string& why) {
  return UserError({.code = "E0415",
                    .exit = Exit::Unsupported,
                    .subject = "cuda",
                    .message = "the run cannot be recorded",
                    .why = why.substr(0, why.find('\n')),
                    .help = "run it op by op: --kernels torch"});
}

void require(cudaError_t status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw not_recorded(cudaGetErrorString(status));
}

/// An identity no pool of LibTorch's graphs has: theirs have a zero in one place.
PoolId fresh_pool() {
  static std::atomic<c10::CaptureId_t> next{1};
  return {next++, static_cast<c10::CaptureId_t>(-1)};
}

/// Allocations of a stream go to a pool of their own and every launch into a graph, while it lives.
class Recording {
 public:
  Recording(c10::cuda::CUDAStream stream, PoolId pool) : stream_(stream), pool_(pool) {
    allocator::beginAllocateToPool(stream.device_index(), pool,
                                   [s = stream.stream()](cudaStream_t other) { return other == s; });
    const cudaError_t status = cudaStreamBeginCapture(stream.stream(), cudaStreamCaptureModeThreadLocal);
    if (status != cudaSuccess) allocator::endAllocateToPool(stream.device_index(), pool);
    require(status);
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 15
    allocator::markCaptureBegin(stream.device_index());
#endif
  }
  ~Recording() { stop(); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  cudaGraph_t finish() {
    require(stop());
    return graph_;
  }

 private:
  cudaError_t stop() {
    if (stopped_) return cudaSuccess;
    stopped_ = true;
    const cudaError_t status = cudaStreamEndCapture(stream_.stream(), &graph_);
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 15
    allocator::markCaptureEnd(stream_.device_index());
#endif
    allocator::endAllocateToPool(stream_.device_index(), pool_);
    if (status != cudaSuccess) cudaGetLastError();
    return status;
  }

  c10::cuda::CUDAStream stream_;
  PoolId pool_;
  cudaGraph_t graph_ = nullptr;
  bool stopped_ = false;
};

}  // namespace

struct Replay::Impl {
  explicit Impl(c10::DeviceIndex device)
      : stream(c10::cuda::getStreamFromPool(false, device)), pool(fresh_pool()) {}
  ~Impl() {
    cudaStreamSynchronize(stream.stream());
    if (instance) cudaGraphExecDestroy(instance);
    if (graph) cudaGraphDestroy(graph);
    outputs.clear();
    if (recorded) allocator::releasePool(stream.device_index(), pool);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  c10::cuda::CUDAStream stream;
  PoolId pool;
  bool recorded = false;
  std::vector<at::Tensor> inputs, outputs;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t instance = nullptr;
};

Replay::Replay(const Executor& executor, const Weights& weights, const std::vector<at::Tensor>& inputs,
               const RunOptions& options) {
  POLLARD_CHECK(options.device.is_cuda() && !options.before_op && !options.after_value && !options.time_ops,
                "a replay is a plain run on a CUDA device");
  const c10::cuda::CUDAGuard device(options.device);
  impl_ = std::make_unique<Impl>(c10::cuda::current_device());
  for (const at::Tensor& input : inputs) impl_->inputs.push_back(input.to(options.device).clone());
  cudaDeviceSynchronize();
  const c10::cuda::CUDAStreamGuard stream(impl_->stream);
  // Libraries choose algorithms and take their working memory outside the recording.
  for (int warm = 0; warm < 2; ++warm) executor.run(weights, impl_->inputs, options);
  require(cudaStreamSynchronize(impl_->stream.stream()));
  Recording recording(impl_->stream, impl_->pool);
  impl_->recorded = true;
  try {
    impl_->outputs = executor.run(weights, impl_->inputs, options);
  } catch (const UserError& error) {
    throw not_recorded(error.parts().message);
  }
  impl_->graph = recording.finish();
  require(cudaGraphInstantiate(&impl_->instance, impl_->graph, 0));
}

Replay::~Replay() = default;
Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;

const std::vector<at::Tensor>& Replay::run(const std::vector<at::Tensor>& inputs) {
  POLLARD_CHECK(inputs.size() == impl_->inputs.size(), "another number of inputs than recorded");
  const c10::cuda::CUDAGuard device(impl_->stream.device());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    POLLARD_CHECK(inputs[i].sizes() == impl_->inputs[i].sizes(), "an input of another shape than recorded");
    impl_->inputs[i].copy_(inputs[i]);
  }
  require(cudaGraphLaunch(impl_->instance,
                          c10::cuda::getCurrentCUDAStream(impl_->stream.device_index()).stream()));
  return impl_->outputs;
}

}  // namespace pollard::kernels
