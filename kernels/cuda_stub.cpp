// SPDX-License-Identifier: Apache-2.0
// The CUDA side of kernels/ in a build without the CUDA Toolkit.
#include "graph/error.h"
#include "kernels/cuda_operators.h"
#include "kernels/device_info.h"
#include "kernels/device_sums.h"
#include "kernels/replay.h"

namespace pollard::kernels {
namespace {

constexpr const char* kNotBuilt = "this program was built without CUDA";

[[noreturn]] void refuse() {
  throw UserError(
      {.code = "E0510",
       .exit = Exit::Environment,
       .subject = "cuda",
       .message = kNotBuilt,
       .help = "install the CUDA Toolkit and build with the cmake preset \"cuda\", or use --device cpu"});
}

}  // namespace

CudaInfo cuda_info() { return {.problem = kNotBuilt}; }

void load_cuda_operators() { refuse(); }

struct Replay::Impl {
  std::vector<at::Tensor> outputs;
};
Replay::Replay(const Executor&, const Weights&, const std::vector<at::Tensor>&, const RunOptions&) {
  refuse();
}
Replay::~Replay() = default;
Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;
const std::vector<at::Tensor>& Replay::run(const std::vector<at::Tensor>&) { return impl_->outputs; }

struct DeviceSums::Impl {};
std::string DeviceSums::fresh_id() { return {}; }
DeviceSums::DeviceSums(const std::string&, int, int) { refuse(); }
DeviceSums::~DeviceSums() = default;
void DeviceSums::start(const at::Tensor&) {}
void DeviceSums::finish() {}

namespace cuda {

at::Tensor mlstm(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                 const at::Tensor&, double) {
  refuse();
}
void recurrent_layer(Cell, const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t,
                     const at::Tensor&, std::int64_t) {
  refuse();
}
at::Tensor focused_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                             FocusedOptions) {
  refuse();
}
at::Tensor masked_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const at::Tensor&, double, bool) {
  refuse();
}
bool takes_cascade(const CascadedWeights&, std::int64_t, std::int64_t) { return false; }
at::Tensor cascaded_attention(const at::Tensor&, const CascadedWeights&, double) { refuse(); }
at::Tensor monarch(const at::Tensor&, const at::Tensor&, const at::Tensor&) { refuse(); }
Sums power_sums(const at::Tensor&, std::int64_t, int) { refuse(); }
at::Tensor slice(const at::Tensor&, const std::vector<std::int64_t>&, const std::vector<std::int64_t>&,
                 std::int64_t, std::int64_t, at::IntArrayRef) {
  refuse();
}

}  // namespace cuda

}  // namespace pollard::kernels
