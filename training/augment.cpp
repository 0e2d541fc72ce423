// SPDX-License-Identifier: Apache-2.0
#include "training/augment.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "graph/error.h"

namespace pollard::training {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& message) {
  std::string names;
  for (const std::string& name : known_augmentations()) names += (names.empty() ? "" : ", ") + name;
  throw UserError(
      {.code = "E0212",
       .exit = Exit::Usage,
       .subject = subject,
       .message = message,
       .where = {},
       .why = {},
       .help = "known: " + names + "; for example RandomCrop(28,padding=4),RandomHorizontalFlip()"});
}

/// The arguments between the parentheses, by position or name.
class Arguments {
 public:
  Arguments(std::string name, const std::string& text, std::vector<std::string> names)
      : name_(std::move(name)), names_(std::move(names)) {
    std::size_t position = 0;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      std::string part = text.substr(begin, end - begin);
      const std::size_t equals = part.find('=');
      if (equals == std::string::npos && position >= names_.size()) refuse(name_, "takes fewer arguments");
      const std::string key = equals == std::string::npos ? names_[position++] : part.substr(0, equals);
      if (std::ranges::find(names_, key) == names_.end()) refuse(name_, "has no argument \"" + key + "\"");
      given_[key] = equals == std::string::npos ? part : part.substr(equals + 1);
      begin = end + 1;
    }
  }
  std::vector<double> numbers(const std::string& key) const {
    const auto found = given_.find(key);
    if (found == given_.end()) refuse(name_, "needs " + key);
    std::vector<double> out;
    const char* at = found->second.c_str();
    for (char* end = nullptr; *at; at = end) {
      out.push_back(std::strtod(at, &end));
      if (end == at) refuse(name_, key + " is no number: \"" + found->second + "\"");
      while (*end == ' ') ++end;
    }
    if (out.empty()) refuse(name_, key + " is empty");
    return out;
  }
  double number(const std::string& key) const { return numbers(key).front(); }
  double number(const std::string& key, double fallback) const {
    return given_.contains(key) ? number(key) : fallback;
  }
  std::int64_t size(const std::string& key) const {
    const double value = number(key);
    if (!(value >= 1 && value <= 1 << 16)) refuse(name_, key + " is no size in pixels");
    return static_cast<std::int64_t>(value);
  }

 private:
  std::string name_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> given_;
};

using Step = Augmentation::Step;

at::Tensor cropped(const at::Tensor& image, std::int64_t top, std::int64_t left, std::int64_t height,
                   std::int64_t width) {
  return image.slice(-2, top, top + height).slice(-1, left, left + width);
}

at::Tensor resized(const at::Tensor& image, std::int64_t height, std::int64_t width) {
  return at::_upsample_bilinear2d_aa(image.unsqueeze(0), {height, width}, false).squeeze(0);
}

Step random_crop(const Arguments& a) {
  const std::int64_t size = a.size("size"), pad = static_cast<std::int64_t>(a.number("padding", 0));
  return [=](const at::Tensor& image, Random& random) {
    const at::Tensor padded = pad > 0 ? at::constant_pad_nd(image, {pad, pad, pad, pad}) : image;
    const std::int64_t rows = padded.size(-2) - size, columns = padded.size(-1) - size;
    if (rows < 0 || columns < 0) refuse("RandomCrop", "an image is smaller than the crop");
    const std::int64_t top = random.below(rows + 1);
    return cropped(padded, top, random.below(columns + 1), size, size);
  };
}

Step random_flip(double probability, std::int64_t dim) {
  return [=](const at::Tensor& image, Random& random) {
    return random.uniform() < probability ? image.flip({dim}) : image;
  };
}

// Area 8 % to 100 %, sides 3:4 to 4:3; after ten misses the centre.
Step random_resized_crop(const Arguments& a) {
  const std::int64_t size = a.size("size");
  return [=](const at::Tensor& image, Random& random) {
    const std::int64_t height = image.size(-2), width = image.size(-1);
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = static_cast<double>(height * width) * random.uniform(0.08, 1);
      const double ratio = std::exp(random.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
      const std::int64_t w = std::llround(std::sqrt(area * ratio)), h = std::llround(std::sqrt(area / ratio));
      if (w < 1 || h < 1 || w > width || h > height) continue;
      const std::int64_t top = random.below(height - h + 1);
      return resized(cropped(image, top, random.below(width - w + 1), h, w), size, size);
    }
    const std::int64_t side = std::min(height, width);
    return resized(cropped(image, (height - side) / 2, (width - side) / 2, side, side), size, size);
  };
}

// A rectangle of 2 % to 33 % of the image, sides 3:10 to 10:3, becomes 0.
Step random_erasing(const Arguments& a) {
  const double probability = a.number("p", 0.5);
  return [=](const at::Tensor& image, Random& random) {
    if (random.uniform() >= probability) return image;
    const std::int64_t height = image.size(-2), width = image.size(-1);
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = static_cast<double>(height * width) * random.uniform(0.02, 0.33);
      const double ratio = std::exp(random.uniform(std::log(0.3), std::log(3.3)));
      const std::int64_t h = std::llround(std::sqrt(area * ratio)), w = std::llround(std::sqrt(area / ratio));
      if (h < 1 || w < 1 || h >= height || w >= width) continue;
      at::Tensor out = image.clone();
      const std::int64_t top = random.below(height - h + 1);
      cropped(out, top, random.below(width - w + 1), h, w).zero_();
      return out;
    }
    return image;
  };
}

Step random_rotation(const Arguments& a) {
  const double degrees = a.number("degrees");
  return [=](const at::Tensor& image, Random& random) {
    const double angle = random.uniform(-degrees, degrees) * std::numbers::pi / 180;
    const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
    const auto ratio = static_cast<float>(image.size(-2)) / static_cast<float>(image.size(-1));
    const at::Tensor turn = at::tensor({c, -s * ratio, 0.0F, s / ratio, c, 0.0F}, at::kFloat).view({1, 2, 3});
    const at::Tensor batch = image.unsqueeze(0);
    const at::Tensor grid = at::affine_grid_generator(turn, batch.sizes(), false);
    return at::grid_sampler_2d(batch, grid, /*nearest=*/1, /*zeros=*/0, false).squeeze(0);
  };
}

Step color_jitter(const Arguments& a) {
  const double brightness = a.number("brightness", 0), contrast = a.number("contrast", 0);
  return [=](const at::Tensor& image, Random& random) {
    at::Tensor out = (image * random.uniform(std::max(0.0, 1 - brightness), 1 + brightness)).clamp(0, 1);
    const double factor = random.uniform(std::max(0.0, 1 - contrast), 1 + contrast);
    return ((out - out.mean()) * factor + out.mean()).clamp(0, 1);
  };
}

Step gaussian_noise(const Arguments& a) {
  const double sigma = a.number("sigma", 0.1);
  return [=](const at::Tensor& sample, Random& random) {
    at::Tensor noise = at::empty(sample.sizes(), at::kFloat);
    float* numbers = noise.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < noise.numel(); ++i) numbers[i] = static_cast<float>(sigma * random.normal());
    return sample + noise;
  };
}

// The shorter side gets the size, as torchvision does it.
Step resize(const Arguments& a) {
  const std::int64_t size = a.size("size");
  return [=](const at::Tensor& image, Random&) {
    const std::int64_t height = image.size(-2), width = image.size(-1), shorter = std::min(height, width);
    return resized(image, size * height / shorter, size * width / shorter);
  };
}

Step center_crop(const Arguments& a) {
  const std::int64_t size = a.size("size");
  return [=](const at::Tensor& image, Random&) {
    const std::int64_t rows = image.size(-2) - size, columns = image.size(-1) - size;
    if (rows < 0 || columns < 0) refuse("CenterCrop", "an image is smaller than the crop");
    return cropped(image, rows / 2, columns / 2, size, size);
  };
}

Step grayscale(const Arguments& a) {
  const auto channels = static_cast<std::int64_t>(a.number("channels", 1));
  return [=](const at::Tensor& image, Random&) {
    const at::Tensor weights = at::tensor({0.2989F, 0.587F, 0.114F}, at::kFloat).view({3, 1, 1});
    const at::Tensor gray = image.size(0) == 3 ? (image * weights).sum(0, true) : image;
    return gray.expand({channels, gray.size(1), gray.size(2)});
  };
}

at::Tensor by_channel(const std::vector<double>& numbers) {
  const at::Tensor all = at::tensor(numbers, at::kDouble).to(at::kFloat);
  return numbers.size() == 1 ? all.squeeze(0) : all.view({-1, 1, 1});
}

Step normalize(const Arguments& a) {
  const at::Tensor mean = by_channel(a.numbers("mean")), deviation = by_channel(a.numbers("std"));
  if (!(deviation > 0).all().item<bool>()) refuse("Normalize", "std is not above 0");
  return [=](const at::Tensor& sample, Random&) { return (sample - mean) / deviation; };
}

struct Kind {
  std::vector<std::string> arguments;
  bool random;
  std::function<Step(const Arguments&)> make;
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> all{
      {"RandomCrop", {{"size", "padding"}, true, random_crop}},
      {"RandomHorizontalFlip",
       {{"p"}, true, [](const Arguments& a) { return random_flip(a.number("p", 0.5), -1); }}},
      {"RandomVerticalFlip",
       {{"p"}, true, [](const Arguments& a) { return random_flip(a.number("p", 0.5), -2); }}},
      {"RandomResizedCrop", {{"size"}, true, random_resized_crop}},
      {"RandomErasing", {{"p"}, true, random_erasing}},
      {"RandomRotation", {{"degrees"}, true, random_rotation}},
      {"ColorJitter", {{"brightness", "contrast"}, true, color_jitter}},
      {"GaussianNoise", {{"sigma"}, true, gaussian_noise}},
      {"Resize", {{"size"}, false, resize}},
      {"CenterCrop", {{"size"}, false, center_crop}},
      {"Pad",
       {{"padding"},
        false,
        [](const Arguments& a) -> Step {
          const std::int64_t pad = a.size("padding");
          return [=](const at::Tensor& image, Random&) {
            return at::constant_pad_nd(image, {pad, pad, pad, pad});
          };
        }}},
      {"Grayscale", {{"channels"}, false, grayscale}},
      {"Normalize", {{"mean", "std"}, false, normalize}}};
  return all;
}

}  // namespace

std::vector<std::string> known_augmentations() {
  std::vector<std::string> names;
  for (const auto& [name, kind] : kinds()) names.push_back(name);
  return names;
}

Augmentation::Augmentation(std::string_view text) {
  for (std::string rest(text); !rest.empty();) {
    const std::size_t open = rest.find('('), close = rest.find(')');
    const std::string name = rest.substr(0, open);
    const auto kind = kinds().find(name);
    if (kind == kinds().end()) refuse(name, "is no known augmentation");
    if (open == std::string::npos || close == std::string::npos || close < open)
      refuse(name, "lacks its parentheses");
    const Arguments arguments(name, rest.substr(open + 1, close - open - 1), kind->second.arguments);
    steps_.push_back({kind->second.random, kind->second.make(arguments)});
    rest.erase(0, close + 1);
    const std::size_t next = rest.find_first_not_of(", ");
    rest.erase(0, next == std::string::npos ? rest.size() : next);
  }
}

at::Tensor Augmentation::apply(at::Tensor sample, Random& random, bool train) const {
  if (sample.scalar_type() == at::kByte) sample = sample.to(at::kFloat).div_(255);
  for (const Named& named : steps_)
    if (train || !named.random) sample = named.step(sample, random);
  return sample.contiguous();
}

}  // namespace pollard::training
