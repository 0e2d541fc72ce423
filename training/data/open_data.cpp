// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>

#include "graph/error.h"
#include "models/io/checkpoint.h"
#include "models/io/npy.h"
#include "pruning/calibration.h"
#include "training/data/dataset.h"

namespace pollard::training {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void unknown_layout(const fs::path& path) {
  throw UserError({.code = "E0397",
                   .exit = Exit::BadFile,
                   .subject = path.filename().string(),
                   .message = "holds no training data of a known layout",
                   .where = {},
                   .why = {},
                   .help =
                       "an IDX or CIFAR folder, class folders of images, train.csv, *_TRAIN.ts, or one .npz, "
                       ".safetensors, .csv or .ts file"});
}

/// The folder's file of this name, gzipped or not; "" when there is none.
fs::path find(const fs::path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"})
    if (fs::is_regular_file(folder / (name + ending))) return folder / (name + ending);
  return {};
}

fs::path find_ending(const fs::path& folder, const std::string& ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().ends_with(ending)) found.push_back(entry.path());
  std::ranges::sort(found);
  return found.empty() ? fs::path{} : found.front();
}

/// "targets" of a file of tensors; undefined when there is none.
at::Tensor targets_in(const fs::path& path) {
  const auto tensors = models::io::looks_like_arrays(*models::io::open_file(path))
                           ? models::io::read_arrays(path)
                           : models::io::read_checkpoint(path).tensors;
  const auto found = tensors.find("targets");
  return found == tensors.end() ? at::Tensor() : found->second;
}

std::unique_ptr<Dataset> read_tensors(const fs::path& path, const fs::path& labels,
                                      const graph::Program& program, const DataOptions& options) {
  pruning::CalibrationSet set =
      pruning::read_calibration(path, program, {.labels = labels, .tokenizer = {}, .most = options.most});
  at::Tensor target = set.labels;
  const bool named = path.extension() == ".npz" || path.extension() == ".safetensors";
  if (const at::Tensor numbers = named ? targets_in(path) : at::Tensor(); numbers.defined()) {
    if (numbers.dim() == 0 || numbers.size(0) < set.samples())
      bad_sample(path.filename().string(), "\"targets\" is not one target a sample");
    target = numbers.slice(0, 0, set.samples());
  }
  return std::make_unique<InMemory>(std::move(set.inputs), target);
}

std::unique_ptr<Dataset> read_idx_part(const fs::path& folder, const std::string& part,
                                       const graph::Program& program, const DataOptions& options) {
  const fs::path images = find(folder, part + "-images-idx3-ubyte"),
                 labels = find(folder, part + "-labels-idx1-ubyte");
  if (images.empty()) return nullptr;
  if (labels.empty())
    throw UserError({.code = "E0397",
                     .exit = Exit::BadFile,
                     .subject = images.filename().string(),
                     .message = "has no labels beside it: " + part + "-labels-idx1-ubyte is missing",
                     .help = "download the file of labels, or name it: --labels FILE"});
  return read_tensors(images, labels, program, options);
}

std::unique_ptr<Dataset> open_file(const fs::path& path, const graph::Program& program,
                                   const DataOptions& options) {
  if (path.extension() == ".ts") return read_time_series(path, program, options);
  if (path.extension() == ".csv") return read_text_csv(path, program, options);
  if (path.extension() == ".bin") return read_cifar({path}, false, options);
  return read_tensors(path, options.labels, program, options);
}

Data open_cifar(const fs::path& folder, const DataOptions& options) {
  std::vector<fs::path> files;
  for (int i = 1; i <= 5; ++i)
    if (const fs::path file = folder / ("data_batch_" + std::to_string(i) + ".bin");
        fs::is_regular_file(file))
      files.push_back(file);
  const bool hundred = files.empty();
  const fs::path test = folder / (hundred ? "test.bin" : "test_batch.bin");
  if (hundred) files.push_back(folder / "train.bin");
  Data out{.train = read_cifar(files, hundred, options), .validation = nullptr};
  if (fs::is_regular_file(test)) out.validation = read_cifar({test}, hundred, options);
  return out;
}

bool holds_folders(const fs::path& folder) {
  return std::ranges::any_of(fs::directory_iterator(folder),
                             [](const auto& entry) { return entry.is_directory(); });
}

Data open_images(const fs::path& folder, const DataOptions& options) {
  const bool split = fs::is_directory(folder / "train");
  Data out{.train = open_image_folder(split ? folder / "train" : folder, options), .validation = nullptr};
  for (const char* part : {"val", "test"})
    if (split && !out.validation && fs::is_directory(folder / part))
      out.validation = open_image_folder(folder / part, options);
  return out;
}

Data open_folder(const fs::path& folder, const graph::Program& program, const DataOptions& options) {
  if (!find(folder, "train-images-idx3-ubyte").empty())
    return {read_idx_part(folder, "train", program, options),
            read_idx_part(folder, "t10k", program, options)};
  if (fs::is_regular_file(folder / "data_batch_1.bin") || fs::is_regular_file(folder / "train.bin"))
    return open_cifar(folder, options);
  for (const auto& [train, test] : {std::pair<std::string, std::string>{"train.csv", "test.csv"},
                                    std::pair<std::string, std::string>{"_TRAIN.ts", "_TEST.ts"}}) {
    const fs::path file = find_ending(folder, train), other = find_ending(folder, test);
    if (file.empty()) continue;
    return {open_file(file, program, options), other.empty() ? nullptr : open_file(other, program, options)};
  }
  if (holds_folders(folder)) return open_images(folder, options);
  unknown_layout(folder);
}

/// Refuses the first sample when the program cannot take it, before anything is trained. Images change their sizes on
/// the way, so only their rank is known here.
void check_fit(const Dataset& data, const fs::path& path, const graph::Program& program) {
  if (data.size() == 0) unknown_layout(path);
  const Sample sample = data.read(0);
  std::size_t next = 0;
  const auto refuse = [&](const std::string& message) {
    throw UserError({.code = "E0399",
                     .exit = Exit::BadFile,
                     .subject = path.filename().string(),
                     .message = message,
                     .help = "pollard inspect MODEL shows what the network takes"});
  };
  for (const graph::Input* input : program.user_inputs()) {
    if (input->constant) continue;
    const graph::Value& value = program[input->value];
    if (next == sample.inputs.size()) refuse("a sample has no tensor for the input " + value.name);
    const at::Tensor& tensor = sample.inputs[next++];
    if (tensor.dim() + 1 != std::ssize(value.shape))
      refuse("a sample of " + value.name + " has " + std::to_string(tensor.dim()) +
             " dimensions, the network takes " + std::to_string(std::ssize(value.shape) - 1));
  }
}

Data open(const fs::path& path, const graph::Program& program, const DataOptions& options) {
  std::error_code error;
  Data out = fs::is_directory(path, error) ? open_folder(path, program, options)
                                           : Data{open_file(path, program, options), nullptr};
  for (const Dataset* part : {out.train.get(), out.validation.get()})
    if (part) check_fit(*part, path, program);
  return out;
}

}  // namespace

Data open_data(const fs::path& path, const fs::path& validation, const graph::Program& program,
               const DataOptions& options) {
  Data out = open(path, program, options);
  if (validation.empty()) return out;
  DataOptions other = options;
  other.labels.clear();
  Data named = open(validation, program, other);
  out.validation = named.validation ? std::move(named.validation) : std::move(named.train);
  return out;
}

std::unique_ptr<Dataset> open_evaluation_data(const fs::path& path, const graph::Program& program,
                                              const DataOptions& options) {
  Data out = open(path, program, options);
  return out.validation ? std::move(out.validation) : std::move(out.train);
}

}  // namespace pollard::training
