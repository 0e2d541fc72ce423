// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace pollard::models::io {

/// Tells the stage "read" (stage.h) while the weights of a file are read, in MiB; nothing of files that are read at once.
/// Threads may add; the listener hears what the thread that listens adds, and of the others' share then.
class ReadStage {
 public:
  explicit ReadStage(std::uint64_t bytes);
  ~ReadStage();
  ReadStage(const ReadStage&) = delete;
  ReadStage& operator=(const ReadStage&) = delete;

  void add(std::uint64_t bytes);

 private:
  void tell(std::uint64_t done) const;

  std::uint64_t bytes_;
  std::atomic<std::uint64_t> done_{0};
};

}  // namespace pollard::models::io
