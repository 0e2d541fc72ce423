// SPDX-License-Identifier: Apache-2.0
#include "training/gradient_sum.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace pollard::training {

GradientSum::GradientSum(kernels::Communicator& communicator, std::vector<at::Tensor> parameters,
                         std::int64_t bucket_bytes)
    : communicator_(communicator), parameters_(std::move(parameters)), places_(parameters_.size()) {
  std::vector<std::int64_t> lengths, starts(parameters_.size());
  for (std::size_t i = parameters_.size(); i-- > 0;) {
    const at::Tensor& p = parameters_[i];
    const auto item = static_cast<std::int64_t>(p.element_size());
    const bool fits = !lengths.empty() && (lengths.back() + p.numel()) * item <= bucket_bytes &&
                      buckets_.back().numbers.scalar_type() == p.scalar_type();
    if (!fits) {
      lengths.push_back(0);
      buckets_.emplace_back().numbers = at::empty({0}, p.detach().options());
    }
    places_[i].bucket = buckets_.size() - 1;
    starts[i] = lengths.back();
    lengths.back() += p.numel();
    ++buckets_.back().members;
  }
  for (std::size_t b = 0; b < buckets_.size(); ++b) buckets_[b].numbers.resize_({lengths[b]}).zero_();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& all = buckets_[places_[i].bucket].numbers;
    places_[i].gradient =
        all.slice(0, starts[i], starts[i] + parameters_[i].numel()).view(parameters_[i].sizes());
    places_[i].hook =
        parameters_[i].register_hook([this, i](const at::Tensor& gradient) { arrive(i, gradient); });
  }
}

GradientSum::~GradientSum() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].remove_hook(places_[i].hook);
}

void GradientSum::begin() {
  for (Bucket& bucket : buckets_) bucket.waiting = bucket.members;
  for (Place& place : places_) place.arrived = false;
  next_ = 0;
}

void GradientSum::start(Bucket& bucket) { bucket.sum = communicator_.start_all_reduce(bucket.numbers); }

void GradientSum::arrive(std::size_t parameter, const at::Tensor& gradient) {
  const c10::NoGradGuard no_grad;
  Place& place = places_[parameter];
  place.gradient.copy_(gradient);
  place.arrived = true;
  --buckets_[place.bucket].waiting;
  while (next_ < buckets_.size() && buckets_[next_].waiting == 0) start(buckets_[next_++]);
  // MPI moves data only while it is called.
  for (std::size_t b = 0; b < next_; ++b) buckets_[b].sum->test();
}

void GradientSum::finish() {
  const c10::NoGradGuard no_grad;
  for (Place& place : places_)
    if (!place.arrived) place.gradient.zero_();
  while (next_ < buckets_.size()) start(buckets_[next_++]);
  for (Bucket& bucket : buckets_) bucket.sum->wait();
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (places_[i].arrived) parameters_[i].mutable_grad() = places_[i].gradient;
}

}  // namespace pollard::training
