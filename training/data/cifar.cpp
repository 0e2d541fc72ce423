// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <cstring>

#include "models/io/file.h"
#include "training/data/dataset.h"

namespace pollard::training {

std::unique_ptr<Dataset> read_cifar(const std::vector<std::filesystem::path>& files, bool coarse,
                                    const DataOptions& options) {
  constexpr std::size_t kImage = 3 * 32 * 32;
  const std::size_t labels = coarse ? 2 : 1, record = labels + kImage;
  const std::int64_t classes = coarse ? 100 : 10;
  std::vector<at::Tensor> images, targets;
  std::int64_t left_out = 0;
  for (const std::filesystem::path& path : files) {
    const std::vector<std::byte> bytes = models::io::read_file(path);
    const std::string name = path.filename().string();
    if (bytes.empty() || bytes.size() % record)
      bad_sample(
          name, "holds " + std::to_string(bytes.size()) + " bytes, no multiple of " + std::to_string(record));
    const auto count = static_cast<std::int64_t>(bytes.size() / record);
    at::Tensor all = at::empty({count, static_cast<std::int64_t>(record)}, at::kByte);
    std::memcpy(all.mutable_data_ptr(), bytes.data(), bytes.size());
    at::Tensor target = all.select(1, static_cast<std::int64_t>(labels) - 1).to(at::kLong);
    at::Tensor image = all.slice(1, static_cast<std::int64_t>(labels));
    const at::Tensor good = target < classes;
    if (const std::int64_t bad = count - good.sum().item<std::int64_t>()) {
      if (!options.skip_bad)
        bad_sample(name, std::to_string(bad) + " labels are no class of 0 to " + std::to_string(classes - 1));
      left_out += bad;
      const at::Tensor kept = good.nonzero().squeeze(1);
      target = target.index_select(0, kept);
      image = image.index_select(0, kept);
    }
    images.push_back(image.reshape({-1, 3, 32, 32}));
    targets.push_back(target);
  }
  auto out = std::make_unique<InMemory>(std::vector<at::Tensor>{at::cat(images)}, at::cat(targets));
  out->left_out = left_out;
  return out;
}

}  // namespace pollard::training
