// SPDX-License-Identifier: Apache-2.0
#include "models/io/tensor_memory.h"

#include <ATen/EmptyTensor.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <algorithm>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/io/text.h"

namespace pollard::models::io {

at::Tensor new_tensor(at::IntArrayRef shape, graph::DType dtype) {
  try {
    return at::Tensor(at::detail::empty_cpu(shape, kernels::to_scalar_type(dtype)));
  } catch (const c10::Error& error) {
    double bytes = static_cast<double>(graph::dtype_size(dtype));
    for (const std::int64_t dim : shape) bytes *= static_cast<double>(dim);
    throw UserError({.code = "E0504",
                     .exit = Exit::Environment,
                     .message = "not enough memory for a tensor of " + human_bytes(bytes),
                     .why = printable(error.what_without_backtrace()),
                     .help = "close other programs, or use a machine with more memory"});
  }
}

std::span<std::byte> tensor_data(const at::Tensor& tensor) {
  POLLARD_CHECK(tensor.is_contiguous() && tensor.is_cpu(), "a contiguous CPU tensor");
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

void check_booleans(const at::Tensor& tensor, const std::string& subject, const std::string& name) {
  if (tensor.scalar_type() != at::kBool) return;
  const auto bytes = tensor_data(tensor);
  const auto bad = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; });
  if (bad == bytes.end()) return;
  throw UserError({.code = "E0351",
                   .exit = Exit::BadFile,
                   .subject = subject,
                   .message = in_quotes(name) + " is boolean but holds the byte " +
                              std::to_string(std::to_integer<int>(*bad)),
                   .where = "element " + std::to_string(bad - bytes.begin()),
                   .help = "write it again from a boolean tensor"});
}

void give_back_free_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace pollard::models::io
