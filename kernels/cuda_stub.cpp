// SPDX-License-Identifier: Apache-2.0
// The CUDA side of kernels/ in a build without the CUDA Toolkit.
#include "graph/error.h"
#include "kernels/device_info.h"

namespace pollard::kernels {
namespace {

constexpr const char* kNotBuilt = "this program was built without CUDA";

}  // namespace

CudaInfo cuda_info() { return {.problem = kNotBuilt}; }

void load_cuda_operators() {
  throw UserError(
      {.code = "E0510",
       .exit = Exit::Environment,
       .subject = "cuda",
       .message = kNotBuilt,
       .help = "install the CUDA Toolkit and build with the cmake preset \"cuda\", or use --device cpu"});
}

}  // namespace pollard::kernels
