// SPDX-License-Identifier: Apache-2.0
#include "training/loader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "graph/error.h"
#include "models/io/cancel.h"

namespace pollard::training {

Loader::Loader(const Dataset& data, const Augmentation& augmentation, kernels::Communicator& communicator,
               LoaderOptions options)
    : data_(data), augmentation_(augmentation), communicator_(communicator), options_(options) {
  options_.batch = std::min(options_.batch, data_.size());
  order_.resize(static_cast<std::size_t>(data_.size()));
}

Loader::~Loader() { stop(); }

std::int64_t Loader::batches() const {
  const std::int64_t size = data_.size();
  return options_.train ? size / options_.batch : (size + options_.batch - 1) / options_.batch;
}

void Loader::stop() {
  for (std::jthread& worker : workers_) worker.request_stop();
  changed_.notify_all();
  workers_.clear();
  ready_.clear();
  failure_ = nullptr;
}

void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  stop();
  epoch_ = epoch;
  next_ = claimed_ = first_batch;
  std::iota(order_.begin(), order_.end(), 0);
  if (options_.train) {
    Random random{options_.seed, 1, static_cast<std::uint64_t>(epoch)};
    for (std::size_t i = order_.size(); i > 1; --i)
      std::swap(order_[i - 1], order_[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
  }
  for (int i = 0; i < options_.threads; ++i)
    workers_.emplace_back([this](const std::stop_token& token) { work(token); });
}

Sample Loader::read(std::int64_t position, std::int64_t& index) const {
  for (std::int64_t attempt = 0;; ++attempt) {
    index = order_[static_cast<std::size_t>((position + attempt) % data_.size())];
    try {
      const models::io::HoldCancel whole_batches;  // who uses the batches stops between them
      return data_.read(index);
    } catch (const UserError& error) {
      if (!options_.skip_bad || error.parts().code != "E0398" || attempt + 1 == data_.size()) throw;
      const std::lock_guard lock(mutex_);
      bad_.insert(index);
    }
  }
}

Batch Loader::load(std::int64_t batch) const {
  const std::int64_t first = batch * options_.batch, count = std::min(options_.batch, data_.size() - first);
  const auto share = communicator_.share(count);
  Batch out;
  out.global = count;
  std::vector<std::vector<at::Tensor>> inputs;
  std::vector<at::Tensor> targets;
  for (std::int64_t i = first + share.begin; i < first + share.end; ++i) {
    std::int64_t index = 0;
    Sample sample = read(i, index);
    Random random{options_.seed, 2, static_cast<std::uint64_t>(epoch_), static_cast<std::uint64_t>(index)};
    if (sample.inputs[0].is_floating_point() || sample.inputs[0].scalar_type() == at::kByte)
      sample.inputs[0] = augmentation_.apply(sample.inputs[0], random, options_.train);
    inputs.resize(sample.inputs.size());
    for (std::size_t k = 0; k < inputs.size(); ++k) inputs[k].push_back(sample.inputs[k]);
    if (sample.target.defined()) targets.push_back(sample.target);
    out.samples.push_back(index);
  }
  for (const auto& column : inputs) out.inputs.push_back(at::stack(column));
  if (!targets.empty()) out.target = at::stack(targets);
  return out;
}

void Loader::work(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::int64_t batch = 0;
    {
      std::unique_lock lock(mutex_);
      const auto room = [&] { return claimed_ < next_ + 2 * options_.threads; };
      if (!changed_.wait(lock, stop, room) || claimed_ >= batches() || failure_) return;
      batch = claimed_++;
    }
    std::optional<Batch> loaded;
    std::exception_ptr failure;
    try {
      loaded = load(batch);
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (failure && !failure_) failure_ = failure;
    if (loaded) ready_.emplace(batch, std::move(*loaded));
    changed_.notify_all();
  }
}

std::optional<Batch> Loader::next() {
  if (next_ >= batches()) return std::nullopt;
  if (options_.threads == 0) return load(next_++);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || ready_.contains(next_); });
  if (!ready_.contains(next_)) std::rethrow_exception(failure_);
  Batch out = std::move(ready_.extract(next_).mapped());
  ++next_;
  changed_.notify_all();
  return out;
}

std::int64_t Loader::bad() const {
  const std::lock_guard lock(mutex_);
  return std::ssize(bad_);
}

}  // namespace pollard::training
