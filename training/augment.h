// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "training/random.h"

namespace pollard::training {

/// What is done to each sample's first input on its way to the network, named and defined as in torchvision.transforms:
///   RandomCrop(size,padding=0)  RandomHorizontalFlip(p=0.5)  RandomVerticalFlip(p=0.5)  RandomResizedCrop(size)
///   RandomErasing(p=0.5)  RandomRotation(degrees)  ColorJitter(brightness,contrast)  GaussianNoise(sigma)
///   Resize(size)  CenterCrop(size)  Pad(padding)  Grayscale(channels=1)  Normalize(mean,std)
/// Steps run in the order given. Random ones act in training only, the others always. Numbers of several channels are
/// separated by spaces: Normalize(0.49 0.48 0.45,0.25 0.24 0.26). Images are [channels, height, width], bytes become
/// floats in 0..1 first; GaussianNoise and Normalize (with one mean) take tensors of any shape.
class Augmentation {
 public:
  Augmentation() = default;
  /// From "RandomCrop(28,padding=4),RandomHorizontalFlip()". Throws UserError E0212 with the known names.
  explicit Augmentation(std::string_view text);

  at::Tensor apply(at::Tensor sample, Random& random, bool train) const;

  using Step = std::function<at::Tensor(const at::Tensor& image, Random& random)>;

 private:
  struct Named {
    bool random;
    Step step;
  };
  std::vector<Named> steps_;
};

/// Every name, for messages and help.
std::vector<std::string> known_augmentations();

}  // namespace pollard::training
