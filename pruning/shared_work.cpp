// SPDX-License-Identifier: Apache-2.0
#include "pruning/shared_work.h"

#include <ATen/ATen.h>

#include "kernels/communicator.h"

namespace pollard::pruning {

SharedWork::SharedWork(kernels::Communicator* job, std::int64_t count) : end_(count) {
  if (!job || job->size() == 1 || count < job->size()) return;
  job_ = job;
  const auto share = job->share(count);
  begin_ = share.begin;
  end_ = share.end;
}

void SharedWork::sum(at::Tensor& part) const {
  if (!job_ || !part.defined()) return;
  part = part.contiguous();
  job_->all_reduce(part);
}

void SharedWork::sum(double& part) const {
  if (!job_) return;
  at::Tensor number = at::tensor({part}, at::kDouble);
  job_->all_reduce(number);
  part = number.item<double>();
}

SharedWork::Place SharedWork::place(std::int64_t own) const {
  if (!job_) return {.first = 0, .all = own};
  at::Tensor counts = at::zeros({job_->size()}, at::kLong);
  counts[job_->rank()] = own;
  job_->all_reduce(counts);
  return {.first = counts.slice(0, 0, job_->rank()).sum().item<std::int64_t>(),
          .all = counts.sum().item<std::int64_t>()};
}

}  // namespace pollard::pruning
