// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include "graph/error.h"
#include "kernels/device_info.h"

namespace pollard::kernels {
namespace {

UserError no_cuda(const std::string& message, const std::string& why) {
  return UserError({.code = "E0510",
                    .exit = Exit::Environment,
                    .subject = "cuda",
                    .message = message,
                    .why = why,
                    .help = "use --device cpu; `pollard doctor` shows what is installed"});
}

}  // namespace

void load_cuda_operators() {
  static const CudaInfo info = cuda_info();
  if (info.devices.empty()) throw no_cuda("no CUDA device can be used", info.problem);
  // Global: the library registers its operators with the dispatcher that is already loaded.
  static void* const library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw no_cuda("LibTorch's CUDA library cannot be loaded", reason == nullptr ? "" : reason);
  }
}

}  // namespace pollard::kernels
