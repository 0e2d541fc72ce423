// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "graph/error.h"
#include "kernels/communicator.h"
#include "models/io/file.h"
#include "models/io/memory.h"
#include "training/data/dataset.h"

namespace pollard::training {
namespace {

namespace fs = std::filesystem;

/// Decoded images take at most this part of the memory that is free when the folder is opened.
constexpr std::uint64_t kShareOfMemory = 8;

bool is_image(const fs::path& path) {
  static const std::set<std::string> kEndings{".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG"};
  return kEndings.contains(path.extension().string());
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

class ImageFolder final : public Dataset {
 public:
  ImageFolder(const fs::path& folder, std::uint64_t kept_bytes) : room_(kept_bytes) {
    for (const fs::path& entry : sorted_entries(folder)) {
      if (!fs::is_directory(entry)) continue;
      const auto before = files_.size();
      for (const fs::path& file : sorted_entries(entry))
        if (is_image(file)) files_.emplace_back(file, static_cast<std::int64_t>(classes.size()));
      if (files_.size() == before)
        throw UserError({.code = "E0397",
                         .exit = Exit::BadFile,
                         .subject = entry.filename().string(),
                         .message = "the class has no image: its folder holds no .png and no .jpg",
                         .help = "remove the empty folder, or put its images there"});
      classes.push_back(entry.filename().string());
    }
  }
  std::int64_t size() const override { return std::ssize(files_); }
  Sample read(std::int64_t index) const override {
    return {{image(static_cast<std::size_t>(index))},
            at::scalar_tensor(files_[static_cast<std::size_t>(index)].second, at::kLong)};
  }
  void keep_first(std::int64_t most) {
    if (most > 0 && most < size()) files_.resize(static_cast<std::size_t>(most));
  }

 private:
  // An epoch reads every image once, so that those which are kept never give way to others: it would lose as many hits.
  at::Tensor image(std::size_t index) const {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = kept_.find(index); found != kept_.end()) return found->second;
    }
    const fs::path& path = files_[index].first;
    at::Tensor decoded = decode_image(models::io::read_file(path), path.filename().string());
    const std::lock_guard lock(mutex_);
    if (decoded.nbytes() <= room_ && kept_.emplace(index, decoded).second) room_ -= decoded.nbytes();
    return decoded;
  }

  std::vector<std::pair<fs::path, std::int64_t>> files_;
  mutable std::mutex mutex_;
  mutable std::map<std::size_t, at::Tensor> kept_;  ///< decoded
  mutable std::uint64_t room_;                      ///< bytes that may still be kept
};

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const fs::path& folder, const DataOptions& options) {
  const std::uint64_t share =
      models::io::free_memory() / kShareOfMemory / static_cast<std::uint64_t>(kernels::launched_processes());
  auto out = std::make_unique<ImageFolder>(folder, options.kept_bytes.value_or(share));
  out->keep_first(options.most);
  return out;
}

}  // namespace pollard::training
