// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/program.h"

namespace pollard::training {

/// One example: the network's inputs without their batch dimension, and what should come out: a class (int64 scalar),
/// a class a position, or numbers. `target` is undefined where there is none (next-token training).
struct Sample {
  std::vector<at::Tensor> inputs;
  at::Tensor target;
};

/// Examples by number.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  /// Safe from several threads. Throws UserError E0398 for a sample that is corrupt.
  virtual Sample read(std::int64_t index) const = 0;

  std::vector<std::string> classes;  ///< names, where the data has some
  std::int64_t left_out = 0;         ///< corrupt samples that --skip-bad left out when the data was opened
};

/// Examples held in memory, along dimension 0 of every tensor.
class InMemory final : public Dataset {
 public:
  InMemory(std::vector<at::Tensor> inputs, at::Tensor target)
      : inputs_(std::move(inputs)), target_(std::move(target)) {}
  std::int64_t size() const override { return inputs_.empty() ? 0 : inputs_.front().size(0); }
  Sample read(std::int64_t index) const override;

 private:
  std::vector<at::Tensor> inputs_;
  at::Tensor target_;
};

struct DataOptions {
  std::filesystem::path labels;     ///< classes of a file that has none: IDX, .npy or .npz
  std::filesystem::path tokenizer;  ///< folder of a WordPiece vocabulary, for text
  bool skip_bad = false;            ///< leave corrupt samples out, and count them
  std::int64_t most = 0;            ///< only the first so many samples; 0 for all
  /// Of decoded images that are kept for the next epoch; by default an eighth of the memory that is free, shared by the
  /// processes of a job.
  std::optional<std::uint64_t> kept_bytes = {};
};

struct Data {
  std::unique_ptr<Dataset> train, validation;  ///< validation may be null
};

/// Opens training data by what is there:
///   folder with *-images-idx3-ubyte(.gz)          IDX as MNIST names it; t10k-* is the validation part
///   folder with data_batch_*.bin or train.bin     CIFAR-10 or CIFAR-100; test*.bin is the validation part
///   folder of folders of .png, .jpg               one class a folder, below train/ and val/ (or test/) when these exist
///   folder with train.csv                         class, title, text (AG-News), by --tokenizer; test.csv validates
///   folder with *_TRAIN.ts                        aeon and sktime series; *_TEST.ts validates
///   .npz .npy .safetensors, IDX, .csv, .ts        one file; tensors as pruning::read_calibration takes them, "labels"
///                                                 or "targets" beside them
/// `validation` names data of the same kinds and goes before what the folder holds. Throws UserError E0397 when none of
/// these is there or a class is empty, E0398 for corrupt samples without skip_bad, E0399 when samples do not fit.
Data open_data(const std::filesystem::path& path, const std::filesystem::path& validation,
               const graph::Program& program, const DataOptions& options);
/// The part of it that `eval` looks at: the validation part where there is one, else all.
std::unique_ptr<Dataset> open_evaluation_data(const std::filesystem::path& path,
                                              const graph::Program& program, const DataOptions& options);

// The kinds, for their own tests. All read bytes that may be hostile.

/// CIFAR's records: one label byte (two with `coarse`: the second counts) and 3 x 32 x 32 bytes.
std::unique_ptr<Dataset> read_cifar(const std::vector<std::filesystem::path>& files, bool coarse,
                                    const DataOptions& options);
/// One class a subfolder, in the order of their names; images are decoded when read first, and kept while there is room.
std::unique_ptr<Dataset> open_image_folder(const std::filesystem::path& folder, const DataOptions& options);
/// "3","title","text": class from 1, the other fields joined. Ids, mask and types go to the inputs named so.
std::unique_ptr<Dataset> read_text_csv(const std::filesystem::path& file, const graph::Program& program,
                                       const DataOptions& options);
/// Series [time, channels], or [channels, time] where the network takes those; shorter ones are padded with zeros.
std::unique_ptr<Dataset> read_time_series(const std::filesystem::path& file, const graph::Program& program,
                                          const DataOptions& options);

/// A decoded image, bytes [channels, height, width], 1 or 3 channels. PNG and JPEG; at most 2^28 pixels.
/// Throws UserError E0398 that names `name`.
at::Tensor decode_image(std::span<const std::byte> bytes, const std::string& name);

/// Fields of one CSV record (RFC 4180: quotes, doubled quotes, line breaks inside quotes); false at the end.
bool read_csv_record(std::istream& in, std::vector<std::string>& fields);

[[noreturn]] void bad_sample(const std::string& subject, const std::string& message);

}  // namespace pollard::training
