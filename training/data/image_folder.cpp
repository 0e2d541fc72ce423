// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "graph/error.h"
#include "models/io/file.h"
#include "training/data/dataset.h"

namespace pollard::training {
namespace {

namespace fs = std::filesystem;

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
  explicit ImageFolder(const fs::path& folder) {
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
    const auto& [path, label] = files_[static_cast<std::size_t>(index)];
    return {{decode_image(models::io::read_file(path), path.filename().string())},
            at::scalar_tensor(label, at::kLong)};
  }
  void keep_first(std::int64_t most) {
    if (most > 0 && most < size()) files_.resize(static_cast<std::size_t>(most));
  }

 private:
  std::vector<std::pair<fs::path, std::int64_t>> files_;
};

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const fs::path& folder, const DataOptions& options) {
  auto out = std::make_unique<ImageFolder>(folder);
  out->keep_first(options.most);
  return out;
}

}  // namespace pollard::training
