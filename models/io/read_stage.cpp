// SPDX-License-Identifier: Apache-2.0
#include "models/io/read_stage.h"

#include <algorithm>

#include "models/io/stage.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20, kWorthTelling = 64 * kMiB;

}  // namespace

ReadStage::ReadStage(std::uint64_t bytes) : bytes_(bytes) { tell(0); }
ReadStage::~ReadStage() { tell(bytes_); }

void ReadStage::add(std::uint64_t bytes) { tell(done_ += bytes); }

void ReadStage::tell(std::uint64_t done) const {
  if (bytes_ < kWorthTelling) return;
  tell_stage({.name = "read",
              .unit = "MiB",
              .done = static_cast<std::int64_t>(std::min(done, bytes_) / kMiB),
              .total = static_cast<std::int64_t>(bytes_ / kMiB)});
}

}  // namespace pollard::models::io
