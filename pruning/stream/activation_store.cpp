// SPDX-License-Identifier: Apache-2.0
#include "pruning/stream/activation_store.h"

#include <ATen/ops/empty_strided.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/text.h"
#include "models/io/write_errors.h"

namespace pollard::pruning {
namespace {

/// Calls `io(done)` until `bytes` are done; false on failure, with errno.
template <class Io>
bool all_of(std::uint64_t bytes, Io io) {
  for (std::uint64_t done = 0; done < bytes;) {
    models::io::throw_if_cancelled();
    const ssize_t n = io(done);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    done += static_cast<std::uint64_t>(n);
  }
  return true;
}

constexpr std::uint64_t kAtOnce = std::uint64_t{16} << 20;

}  // namespace

ActivationStore::~ActivationStore() {
  if (fd_ >= 0) ::close(fd_);
}

void ActivationStore::put(const Key& key, const at::Tensor& given) {
  const at::Tensor tensor = given.is_non_overlapping_and_dense() ? given : given.contiguous();
  drop(key);
  Entry entry{.tensor = {},
              .shape = tensor.sizes().vec(),
              .strides = tensor.strides().vec(),
              .type = tensor.scalar_type(),
              .offset = 0,
              .bytes = tensor.nbytes()};
  if (in_memory_ + entry.bytes <= memory_bytes_) {
    // A view would keep the whole of its memory.
    entry.tensor = tensor.storage().nbytes() > tensor.nbytes() ? tensor.clone() : tensor;
    most_in_memory_ = std::max(most_in_memory_, in_memory_ += entry.bytes);
  } else {
    spill(entry, tensor);
  }
  entries_.emplace(key, std::move(entry));
}

void ActivationStore::spill(Entry& entry, const at::Tensor& tensor) {
  if (fd_ < 0) {
    std::string name = (folder_ / ".pollard-spill-XXXXXX").string();
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ < 0) fail("creating a file for activations");
    ::unlink(name.c_str());
  }
  std::vector<std::uint64_t>& places = free_[entry.bytes];
  if (places.empty()) {
    entry.offset = file_bytes_;
    file_bytes_ += entry.bytes;
  } else {
    entry.offset = places.back();
    places.pop_back();
  }
  const auto* data = static_cast<const char*>(tensor.const_data_ptr());
  if (!all_of(entry.bytes, [&](std::uint64_t done) {
        return ::pwrite(fd_, data + done, std::min(kAtOnce, entry.bytes - done),
                        static_cast<off_t>(entry.offset + done));
      }))
    fail("writing activations");
}

at::Tensor ActivationStore::get(const Key& key) const {
  const Entry& entry = entries_.at(key);
  if (entry.tensor.defined()) return entry.tensor;
  at::Tensor tensor = at::empty_strided(entry.shape, entry.strides, at::TensorOptions().dtype(entry.type));
  auto* data = static_cast<char*>(tensor.mutable_data_ptr());
  if (!all_of(entry.bytes, [&](std::uint64_t done) {
        return ::pread(fd_, data + done, std::min(kAtOnce, entry.bytes - done),
                       static_cast<off_t>(entry.offset + done));
      }))
    fail("reading activations back");
  return tensor;
}

void ActivationStore::drop(const Key& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  if (entry.tensor.defined())
    in_memory_ -= entry.bytes;
  else
    free_[entry.bytes].push_back(entry.offset);
  entries_.erase(found);
}

void ActivationStore::fail(const char* action) const {
  const int error = errno;
  const bool full = models::io::disk_is_full(error);
  throw UserError({.code = full                               ? "E0501"
                           : models::io::may_not_write(error) ? "E0503"
                                                              : "E0502",
                   .exit = Exit::Environment,
                   .subject = models::io::printable(folder_.string()),
                   .message = std::string(action) + " failed: " + std::strerror(error),
                   .help = full ? "fewer --samples or more --memory need less room"
                                : "check the owner and mode of the folder and its disk"});
}

}  // namespace pollard::pruning
