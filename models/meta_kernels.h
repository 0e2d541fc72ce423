// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace pollard::models {

/// Lets every dispatcher op with a CPU kernel run on meta tensors (shapes without memory) while it lives. LibTorch
/// ships part of its meta kernels only in Python; here, an op without one runs once on CPU zeros of the same
/// shapes and its results become meta tensors again. The costly ones compute their shape directly. Runs on one
/// thread.
class MetaKernels {
 public:
  MetaKernels();
  ~MetaKernels();
  MetaKernels(const MetaKernels&) = delete;
  MetaKernels& operator=(const MetaKernels&) = delete;

 private:
  struct Registrations;
  std::unique_ptr<Registrations> registrations_;
};

}  // namespace pollard::models
