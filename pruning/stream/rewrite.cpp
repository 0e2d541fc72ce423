// SPDX-License-Identifier: Apache-2.0
#include "pruning/stream/rewrite.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "graph/error.h"
#include "kernels/executor.h"
#include "kernels/slice_gather.h"
#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/cancel.h"
#include "models/io/parallel.h"
#include "models/io/sha256.h"
#include "models/io/stored_program.h"
#include "models/io/tensor_memory.h"
#include "models/io/write_behind.h"
#include "pruning/rewrite.h"
#include "pruning/stream/journal.h"

namespace pollard::pruning {
namespace {

namespace fs = std::filesystem;
using models::io::TensorInfo;
using Kept = std::map<std::int64_t, std::vector<std::int64_t>>;

/// A tensor of the result and where it comes from.
struct Slice {
  TensorInfo from, to;  ///< `to` has no offset
  Kept kept;            ///< dimensions that change; empty: the whole tensor
};

TensorInfo sliced_info(const TensorInfo& from, const Kept& kept) {
  TensorInfo to = from;
  to.offset = 0;
  to.bytes = static_cast<std::uint64_t>(graph::dtype_size(from.dtype));
  for (std::size_t d = 0; d < to.shape.size(); ++d) {
    const auto found = kept.find(static_cast<std::int64_t>(d));
    if (found != kept.end()) to.shape[d] = static_cast<std::int64_t>(found->second.size());
    to.bytes *= static_cast<std::uint64_t>(to.shape[d]);
  }
  return to;
}

/// The slices of every file, in file order. Tensors that the network does not read are copied whole.
std::vector<std::vector<Slice>> slices_of(const models::StoredCheckpoint& checkpoint,
                                          const graph::Dependencies& d, const graph::Removal& removal) {
  std::map<std::string, Kept> kept;
  for (const graph::Input& input : checkpoint.model.program.inputs)
    if (input.kind != graph::Input::Kind::User && !input.constant)
      kept.emplace(input.source, kept_of(d, input.value, removal));
  std::vector<std::vector<Slice>> out;
  for (const models::io::SafetensorsReader& reader : checkpoint.files) {
    std::vector<Slice>& slices = out.emplace_back();
    for (const TensorInfo& info : reader.tensors()) {
      const auto found = kept.find(info.name);
      const Kept none, &k = found == kept.end() ? none : found->second;
      slices.push_back({info, sliced_info(info, k), k});
    }
  }
  return out;
}

/// What the program reads and no file holds: tables that the network's constructor made. They go into the first file under
/// the names that stored programs give them.
models::io::TensorMap tables_of(const models::StoredCheckpoint& checkpoint, const graph::Dependencies& d,
                                const graph::Removal& removal) {
  models::io::TensorMap out;
  kernels::BlockMemory memory;
  for (const graph::Input& input : checkpoint.model.program.inputs) {
    const bool table = input.kind == graph::Input::Kind::Constant ||
                       (input.kind == graph::Input::Kind::Buffer && !input.persistent);
    if (!table || input.constant || checkpoint.model.weights.at(input.source).is_meta()) continue;
    const Kept kept = kept_of(d, input.value, removal);
    const at::Tensor whole = checkpoint.model.weights.at(input.source).contiguous();
    out[models::io::kStoredConstant + input.source] =
        kept.empty() ? whole : kernels::slice_gather(whole, kept, memory);
  }
  return out;
}

/// One file of the result, piece by piece through two buffers; hashing and writing go on behind.
class FileRewriter {
 public:
  FileRewriter(const models::io::ByteSource& source, models::io::Writer& out, std::uint64_t piece,
               const StreamOptions& options)
      : source_(source), out_(out, piece), piece_(piece), options_(options) {}

  void write(std::span<const std::byte> bytes) {
    models::io::throw_if_cancelled();
    out_.write(bytes);
    if (options_.progress) options_.progress(bytes.size());
  }

  void write(const Slice& s) {
    if (s.to.bytes == 0) return;
    const bool rows_leave = s.kept.contains(0);
    Kept inner = s.kept;
    inner.erase(0);
    if (inner.empty() && !rows_leave) return copy(s.from.offset, s.from.bytes);
    const auto rows = static_cast<std::uint64_t>(s.from.shape[0]);
    const std::uint64_t row_bytes = s.from.bytes / rows;
    const std::int64_t most = std::max<std::int64_t>(1, static_cast<std::int64_t>(piece_ / row_bytes));
    std::vector<std::int64_t> all;
    if (!rows_leave) {
      all.resize(rows);
      std::iota(all.begin(), all.end(), 0);
    }
    const std::vector<std::int64_t>& kept_rows = rows_leave ? s.kept.at(0) : all;
    for (std::size_t first = 0; first < kept_rows.size(); first += static_cast<std::size_t>(most)) {
      const auto count = std::min(static_cast<std::size_t>(most), kept_rows.size() - first);
      const auto part = std::span(kept_rows).subspan(first, count);
      if (inner.empty()) {
        for_each_run(part, [&](std::size_t, std::uint64_t row, std::uint64_t n) {
          copy(s.from.offset + row * row_bytes, n * row_bytes);
        });
      } else {
        read_rows(s, part, row_bytes);
        gather(s, static_cast<std::int64_t>(count), inner);
      }
    }
  }

  /// Waits until all is written; SHA-256 of it.
  std::string finish() { return out_.finish(); }
  std::uint64_t read_bytes() const { return bytes_read_; }
  std::uint64_t written_bytes() const { return out_.position(); }

 private:
  /// Straight into the blocks that are written.
  void copy(std::uint64_t offset, std::uint64_t bytes) {
    while (bytes > 0) {
      models::io::throw_if_cancelled();
      const std::span<std::byte> room = out_.room();
      const std::uint64_t count = std::min<std::uint64_t>(bytes, room.size());
      read(offset, room.first(static_cast<std::size_t>(count)));
      out_.filled(static_cast<std::size_t>(count));
      if (options_.progress) options_.progress(count);
      offset += count;
      bytes -= count;
    }
  }

  void read(std::uint64_t offset, std::span<std::byte> to) {
    source_.read_at(offset, to);
    bytes_read_ += to.size();
  }

  /// Neighbouring rows are read at once: visit(place among the kept, first row, rows).
  template <class Visit>
  static void for_each_run(std::span<const std::int64_t> rows, Visit visit) {
    std::size_t first = 0;
    while (first < rows.size()) {
      std::size_t end = first + 1;
      while (end < rows.size() && rows[end] == rows[end - 1] + 1) ++end;
      visit(first, static_cast<std::uint64_t>(rows[first]), static_cast<std::uint64_t>(end - first));
      first = end;
    }
  }

  void read_rows(const Slice& s, std::span<const std::int64_t> rows, std::uint64_t row_bytes) {
    read_.resize(rows.size() * static_cast<std::size_t>(row_bytes));
    for_each_run(rows, [&](std::size_t place, std::uint64_t row, std::uint64_t count) {
      read(s.from.offset + row * row_bytes,
           std::span(read_).subspan(place * static_cast<std::size_t>(row_bytes),
                                    static_cast<std::size_t>(count * row_bytes)));
    });
  }

  void gather(const Slice& s, std::int64_t rows, const Kept& inner) {
    std::vector<std::int64_t> shape = s.from.shape;
    shape[0] = rows;
    gathered_.resize(static_cast<std::size_t>(s.to.bytes / static_cast<std::uint64_t>(s.to.shape[0]) *
                                              static_cast<std::uint64_t>(rows)));
    kernels::slice_gather_into(
        at::from_blob(read_.data(), shape, at::TensorOptions().dtype(kernels::to_scalar_type(s.from.dtype))),
        inner, reinterpret_cast<char*>(gathered_.data()));
    write(gathered_);
  }

  const models::io::ByteSource& source_;
  models::io::WriteBehind out_;
  std::uint64_t piece_;
  const StreamOptions& options_;
  std::vector<std::byte> read_, gathered_;
  std::uint64_t bytes_read_ = 0;
};

std::vector<TensorInfo> infos(const std::vector<Slice>& slices, const models::io::TensorMap& tables) {
  std::vector<TensorInfo> out;
  for (const Slice& s : slices) out.push_back(s.to);
  for (const auto& [name, tensor] : tables)
    out.push_back({.name = name,
                   .dtype = kernels::from_scalar_type(tensor.scalar_type()),
                   .shape = tensor.sizes().vec(),
                   .bytes = tensor.nbytes()});
  return out;
}

std::uint64_t data_bytes(const std::vector<Slice>& slices) {
  std::uint64_t sum = 0;
  for (const Slice& s : slices) sum += s.to.bytes;
  return sum;
}

/// {"metadata": {"total_size": N}, "weight_map": {name: file}}, as Hugging Face writes it.
std::string index_json(const models::StoredCheckpoint& checkpoint,
                       const std::vector<std::vector<Slice>>& slices, const models::io::TensorMap& tables) {
  nlohmann::ordered_json json;
  std::uint64_t total = 0;
  std::map<std::string, std::string> map;
  for (std::size_t f = 0; f < slices.size(); ++f)
    for (const Slice& s : slices[f]) {
      map[s.to.name] = checkpoint.names[f];
      total += s.to.bytes;
    }
  for (const auto& [name, tensor] : tables) {
    map[name] = checkpoint.names.front();
    total += tensor.nbytes();
  }
  json["metadata"]["total_size"] = total;
  json["weight_map"] = map;
  return json.dump(2) + "\n";
}

/// Tokenizers stay what they are; a config.json would state the old sizes and is left behind.
void copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
                           "vocab.json", "merges.txt", "tokenizer.model", "generation_config.json"}) {
    std::error_code error;
    if (fs::is_regular_file(from / name, error))
      models::io::write_file(to / name, models::io::read_file(from / name), true);
  }
}

/// More than what a process leaves that was killed before it had written anything.
bool holds_something(const fs::path& folder) {
  return std::ranges::any_of(fs::directory_iterator(folder), [](const fs::directory_entry& entry) {
    return !entry.path().filename().string().starts_with(".pollard-");
  });
}

class Rewrite {
 public:
  Rewrite(const models::StoredCheckpoint& checkpoint, const graph::Dependencies& d,
          const graph::Removal& removal, const StreamTarget& target, const StreamOptions& options)
      : checkpoint_(checkpoint),
        target_(target),
        options_(options),
        slices_(slices_of(checkpoint, d, removal)),
        tables_(tables_of(checkpoint, d, removal)),
        folder_(checkpoint.sharded() ? target.out : target.out.parent_path()),
        journal_(folder_, checkpoint.sharded(), options.job ? options.job->rank() : 0, target.plan_hash) {}

  StreamReport run() {
    if (first() && checkpoint_.sharded()) prepare_folder();
    if (options_.job) options_.job->barrier();
    journal_.begin();
    const std::vector<std::size_t> own = own_files(slices_.size(), options_.job);
    std::uint64_t bytes = 0;
    for (const std::size_t f : own) bytes += data_bytes(slices_[f]);
    digests_.resize(slices_.size());
    models::io::parallel_for(own.size(), bytes, [&](std::size_t i) { write_file(own[i]); });
    if (options_.job)
      for (std::size_t f = 0; f < digests_.size(); ++f)
        digests_[f] = options_.job->broadcast(
            digests_[f], static_cast<int>(f % static_cast<std::size_t>(options_.job->size())));
    finish();
    report_.files = slices_.size();
    return report_;
  }

 private:
  bool first() const { return !options_.job || options_.job->first(); }
  fs::path index() const { return folder_ / "model.safetensors.index.json"; }

  void prepare_folder() {
    fs::create_directories(folder_);
    if (!target_.force && !Journal::any(folder_) && holds_something(folder_))
      throw UserError({.code = "E0224",
                       .exit = Exit::Usage,
                       .subject = folder_.string(),
                       .message = "is a folder that holds something already",
                       .help = "name a new folder, or overwrite its model with --force"});
    std::error_code error;
    fs::remove(index(), error);  // an unfinished folder is no model
    for (const auto& entry : fs::directory_iterator(folder_))
      if (const std::string name = entry.path().filename().string();
          name.starts_with(".pollard-") && name.ends_with(".tmp"))
        fs::remove(entry.path(), error);  // of a process that was killed
  }

  void write_file(std::size_t f) {
    const fs::path path = checkpoint_.sharded() ? folder_ / checkpoint_.names[f] : target_.out;
    if (const auto whole = journal_.whole(checkpoint_.names[f], path)) {
      digests_[f] = *whole;
      const std::lock_guard lock(mutex_);
      ++report_.resumed;
      if (options_.progress) options_.progress(data_bytes(slices_[f]));
      return;
    }
    const models::io::TensorMap none, &tables = f == 0 ? tables_ : none;
    const std::vector<TensorInfo> tensors = infos(slices_[f], tables);
    std::uint64_t bytes = 0;
    for (const TensorInfo& info : tensors) bytes += info.bytes;
    const std::string head = models::io::safetensors_head(
        tensors, f == 0 ? target_.metadata : models::io::TextMap{{"format", "pt"}});
    models::io::AtomicFile file(path, {.force = target_.force || checkpoint_.sharded(),
                                       .expected_size = head.size() + bytes,
                                       .bypass_cache = true});
    FileRewriter writer(checkpoint_.files[f].source(), file,
                        piece_bytes(options_.memory_bytes, std::thread::hardware_concurrency()), options_);
    writer.write(models::io::as_bytes(head));
    for (const Slice& s : slices_[f]) writer.write(s);
    for (const auto& [name, tensor] : tables) writer.write(models::io::tensor_data(tensor));
    digests_[f] = writer.finish();
    file.commit();
    journal_.enter(checkpoint_.names[f], writer.written_bytes(), digests_[f]);
    const std::lock_guard lock(mutex_);
    report_.bytes_read += writer.read_bytes();
    report_.bytes_written += writer.written_bytes();
  }

  void finish() {
    if (options_.job) options_.job->barrier();
    if (!checkpoint_.sharded()) {
      report_.sha256 = digests_.front();
      return;
    }
    const std::string json = index_json(checkpoint_, slices_, tables_);
    std::string digests = models::io::sha256(models::io::as_bytes(json));
    for (const std::string& digest : digests_) digests += digest;
    report_.sha256 = models::io::sha256(models::io::as_bytes(digests));
    if (!first()) return;
    copy_tokenizer(checkpoint_.index.parent_path(), folder_);
    models::io::write_file(index(), models::io::as_bytes(json), true);
    Journal::remove_all(folder_);
  }

  const models::StoredCheckpoint& checkpoint_;
  const StreamTarget& target_;
  const StreamOptions& options_;
  std::vector<std::vector<Slice>> slices_;
  models::io::TensorMap tables_;
  fs::path folder_;
  Journal journal_;
  std::vector<std::string> digests_;
  std::mutex mutex_;
  StreamReport report_;
};

}  // namespace

StreamReport rewrite_stored(const models::StoredCheckpoint& checkpoint,
                            const graph::Dependencies& dependencies, const graph::Removal& removal,
                            const StreamTarget& target, const StreamOptions& options) {
  return Rewrite(checkpoint, dependencies, removal, target, options).run();
}

}  // namespace pollard::pruning
