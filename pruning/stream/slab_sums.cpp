// SPDX-License-Identifier: Apache-2.0
#include "pruning/stream/slab_sums.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <future>
#include <thread>

#include "graph/error.h"
#include "kernels/executor.h"
#include "kernels/slab_sums.h"
#include "models/io/cancel.h"
#include "models/io/parallel.h"
#include "models/io/sha256.h"
#include "models/io/stored_program.h"

namespace pollard::pruning {
namespace {

using models::io::TensorInfo;

/// Sums are made over blocks of so many elements, whatever is read at once: the order never changes.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 18;

/// One tensor's sums, growing piece by piece. A piece holds whole rows (entries of dimension 0).
class RowSums {
 public:
  RowSums(const TensorInfo& info, std::vector<std::int64_t> dims, double p,
          std::map<std::int64_t, std::vector<double>>& sums)
      : info_(info), dims_(std::move(dims)), p_(p), sums_(sums) {}

  void add(std::span<std::byte> piece, std::int64_t rows) {
    std::vector<std::int64_t> shape = info_.shape;
    const std::int64_t length =
        std::max<std::int64_t>(1, elements() / std::max<std::int64_t>(1, info_.shape[0]));
    const std::int64_t block = std::max<std::int64_t>(1, kBlockElements / length);
    const auto row_bytes = piece.size() / static_cast<std::size_t>(rows);
    for (std::int64_t first = 0; first < rows; first += block) {
      shape[0] = std::min(block, rows - first);
      const at::Tensor part = at::from_blob(piece.data() + static_cast<std::size_t>(first) * row_bytes, shape,
                                            at::TensorOptions().dtype(kernels::to_scalar_type(info_.dtype)));
      add_block(part.element_size() == 1 ? part.to(at::kFloat) : part);
    }
  }

  /// Rows in a piece of at most `bytes`, a multiple of a block's.
  std::int64_t rows_within(std::uint64_t bytes) const {
    const std::int64_t length =
        std::max<std::int64_t>(1, elements() / std::max<std::int64_t>(1, info_.shape[0]));
    const std::int64_t block = std::max<std::int64_t>(1, kBlockElements / length);
    const auto row_bytes = static_cast<std::uint64_t>(length * graph::dtype_size(info_.dtype));
    const auto rows = static_cast<std::int64_t>(bytes / std::max<std::uint64_t>(1, row_bytes));
    return std::max(block, rows / block * block);
  }

 private:
  std::int64_t elements() const {
    std::int64_t n = 1;
    for (const std::int64_t dim : info_.shape) n *= dim;
    return n;
  }

  void add_block(const at::Tensor& part) {
    const auto parts = kernels::slab_power_sums(part, dims_, p_);
    for (std::size_t k = 0; k < dims_.size(); ++k) {
      std::vector<double>& whole = sums_[dims_[k]];
      const std::size_t first = dims_[k] == 0 ? static_cast<std::size_t>(row_) : 0;
      for (std::size_t i = 0; i < parts[k].size(); ++i) whole[first + i] += parts[k][i];
    }
    row_ += part.size(0);
  }

  const TensorInfo& info_;
  std::vector<std::int64_t> dims_;
  double p_;
  std::map<std::int64_t, std::vector<double>>& sums_;
  std::int64_t row_ = 0;
};

/// A file, front to back. While a piece is looked at and the next one read, it is hashed on another thread.
class HashedPieces {
 public:
  HashedPieces(const models::io::ByteSource& source, const std::function<void(std::uint64_t)>& progress)
      : source_(source), progress_(progress) {}

  std::uint64_t position() const { return position_; }

  /// The next `bytes`; they stay until the next but one call.
  std::span<std::byte> take(std::uint64_t bytes) {
    models::io::throw_if_cancelled();
    std::vector<std::byte>& buffer =
        buffers_[turn_ ^= 1];  // its hash was waited for before the other's began
    buffer.resize(static_cast<std::size_t>(bytes));
    source_.read_at(position_, buffer);
    position_ += bytes;
    if (hashing_.valid()) hashing_.get();
    hashing_ = std::async(std::launch::async, [this, &buffer] { digest_.update(buffer); });
    if (progress_) progress_(bytes);
    return buffer;
  }

  /// SHA-256 of all that was taken.
  std::string finish() {
    if (hashing_.valid()) hashing_.get();
    return digest_.hex();
  }

 private:
  const models::io::ByteSource& source_;
  const std::function<void(std::uint64_t)>& progress_;
  std::vector<std::byte> buffers_[2];
  std::size_t turn_ = 0;
  std::uint64_t position_ = 0;
  models::io::Sha256 digest_;
  std::future<void> hashing_;  ///< last: its destructor waits for what it reads
};

}  // namespace

std::uint64_t piece_bytes(std::uint64_t memory_bytes, std::size_t threads) {
  // Larger ones leave the caches before they are summed and hashed: 16 MiB took 1.4 times as long (docs/scale.md).
  constexpr std::uint64_t kLeast = std::uint64_t{1} << 20, kMost = std::uint64_t{4} << 20;
  // A file being written holds what was read, what that becomes and two blocks on their way to the disk.
  return std::clamp(memory_bytes / (4 * std::max<std::size_t>(1, threads)), kLeast, kMost);
}

std::vector<std::size_t> own_files(std::size_t files, const kernels::Communicator* job) {
  std::vector<std::size_t> out;
  const std::size_t size = job ? static_cast<std::size_t>(job->size()) : 1,
                    rank = job ? static_cast<std::size_t>(job->rank()) : 0;
  for (std::size_t i = rank; i < files; i += size) out.push_back(i);
  return out;
}

StreamedSums::StreamedSums(const models::StoredCheckpoint& checkpoint, const graph::Dependencies& d,
                           StreamOptions options)
    : checkpoint_(checkpoint), options_(std::move(options)) {
  const graph::Program& program = checkpoint.model.program;
  for (const graph::Group& group : d.groups)
    for (const graph::Member& m : d.axes[static_cast<std::size_t>(group.axis)].members) {
      const graph::Input& input = program.inputs[static_cast<std::size_t>(m.input)];
      if (input.kind == graph::Input::Kind::Parameter) wanted_[input.source].insert(m.dim);
    }
  digests_.resize(checkpoint.files.size());
  for (std::size_t f = 0; f < checkpoint.files.size(); ++f)
    for (const TensorInfo& info : checkpoint.files[f].tensors()) places_[info.name] = {f, &info};
}

at::Tensor StreamedSums::load(const graph::Input& input) {
  const at::Tensor& known = checkpoint_.model.weights.at(input.source);
  if (!known.is_meta()) return known;  // a table that the network's constructor made
  auto place = places_.find(input.source);
  if (place == places_.end()) place = places_.find(input.tied_to);
  if (place == places_.end()) place = places_.find(models::io::kStoredConstant + input.source);
  POLLARD_CHECK(place != places_.end(), "no file holds " + input.source);
  const auto [file, info] = place->second;
  const at::Tensor weight = checkpoint_.files[file].read(*info);
  if (options_.progress) options_.progress(info->bytes);
  return weight.is_floating_point() && weight.element_size() < 4 ? weight.to(at::kFloat) : weight;
}

std::vector<std::vector<double>> StreamedSums::power_sums(const std::string& name,
                                                          std::span<const std::int64_t> dims, double p) {
  if (power_ != p) read(p);
  const DimSums& sums = sums_.at(name);
  std::vector<std::vector<double>> out;
  for (const std::int64_t dim : dims) out.push_back(sums.at(dim));
  return out;
}

const std::vector<std::string>& StreamedSums::digests() {
  if (!power_) read(2);
  return digests_;
}

void StreamedSums::read(double p) {
  power_ = p;
  for (const auto& [name, dims] : wanted_) {
    const at::Tensor& weight = checkpoint_.model.weights.at(name);
    for (const std::int64_t dim : dims)
      sums_[name][dim].assign(static_cast<std::size_t>(weight.size(dim)), 0.0);
  }
  const std::vector<std::size_t> own = own_files(checkpoint_.files.size(), options_.job);
  models::io::parallel_for(own.size(), checkpoint_.bytes(), [&](std::size_t i) { read_file(own[i], p); });
  if (options_.job && options_.job->size() > 1) exchange();
}

void StreamedSums::read_file(std::size_t file, double p) {
  const models::io::SafetensorsReader& reader = checkpoint_.files[file];
  HashedPieces pieces(reader.source(), options_.progress);
  const std::uint64_t piece = piece_bytes(options_.memory_bytes, std::thread::hardware_concurrency());
  const auto skip_to = [&](std::uint64_t offset) {
    while (pieces.position() < offset) pieces.take(std::min(piece, offset - pieces.position()));
  };
  for (const TensorInfo& info : reader.tensors()) {
    const auto wanted = wanted_.find(info.name);
    if (wanted == wanted_.end() || info.bytes == 0 || info.shape.empty()) continue;
    skip_to(info.offset);
    RowSums sums(info, {wanted->second.begin(), wanted->second.end()}, p, sums_.at(info.name));
    const std::int64_t most = sums.rows_within(piece);
    const std::uint64_t row_bytes = info.bytes / static_cast<std::uint64_t>(info.shape[0]);
    for (std::int64_t row = 0; row < info.shape[0]; row += most) {
      const std::int64_t rows = std::min(most, info.shape[0] - row);
      sums.add(pieces.take(static_cast<std::uint64_t>(rows) * row_bytes), rows);
    }
  }
  skip_to(reader.source().size());
  digests_[file] = pieces.finish();
}

/// Every rank's sums are zero where another read the weight: adding them changes no bit.
void StreamedSums::exchange() {
  kernels::Communicator& job = *options_.job;
  for (auto& [name, by_dim] : sums_)
    for (auto& [dim, sums] : by_dim) {
      at::Tensor view = at::from_blob(sums.data(), {static_cast<std::int64_t>(sums.size())}, at::kDouble);
      job.all_reduce(view);
    }
  for (std::size_t file = 0; file < digests_.size(); ++file)
    digests_[file] =
        job.broadcast(digests_[file], static_cast<int>(file % static_cast<std::size_t>(job.size())));
}

}  // namespace pollard::pruning
